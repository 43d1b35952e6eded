"""The divergences as other libraries compute them, and as the paper's equations read.

Each function prepares one step, the value and the gradients with respect to queries,
keys and weights, on the arrays of `problem`. The transcription is the plain PyTorch of
the equations with automatic differentiation; in float64 it is the reference.
"""

import numpy as np

SLOPE = 0.1  # of the leaky ReLU
EPSILON, TOLERANCE, MAX_ITERATIONS = 0.01, 1e-4, 1000  # of optimal transport


def problem(tokens, batch=8, heads=12, size=64):
    """Queries and keys, `(B, T, N, H)`, and the weights of the networks."""
    generator = np.random.default_rng(0)
    shape = batch, tokens, heads, size
    query = generator.normal(size=shape)
    key = 1.3 * generator.normal(size=shape) + 0.5
    weights = {}
    for network, feature in (("critic", size), ("navigator", 16), ("discriminator", 1)):
        layers = [("hidden", size, 16), ("feature", 16, feature)]
        if network != "navigator":
            layers = [("gate", size, size), ("transform", size, size)] + layers
        for layer, rows, columns in layers:
            kernel = generator.normal(size=(rows, columns)) / rows**0.5
            bias = np.full(columns, -2.0 if layer == "gate" else 0.1)
            weights[f"{network}/{layer}"] = kernel, bias
    return query, key, weights


def used_by(divergence, weights):
    """The weights of the networks of one divergence, in the order of the layers."""
    networks = {"ct": ("critic", "navigator"), "gan": ("discriminator",)}
    names = networks.get(divergence, ())
    return {name: w for name, w in weights.items() if name.split("/")[0] in names}


def _standardize(query, key):
    import torch

    center = 0.5 * (query.mean(1, keepdim=True) + key.mean(1, keepdim=True))
    query, key = query - center, key - center
    square = query.square().mean(1, keepdim=True) + key.square().mean(1, keepdim=True)
    scale = torch.rsqrt(0.5 * square.mean(-1, keepdim=True) + 1e-6)
    return query * scale, key * scale


def _network(name, weights):
    """A critic, navigator or discriminator."""
    import torch

    def dense(layer, x):
        kernel, bias = weights[f"{name}/{layer}"]
        return x @ kernel + bias

    def call(x):
        if name != "navigator":
            gate = torch.sigmoid(dense("gate", x))
            x = gate * torch.relu(dense("transform", x)) + (1.0 - gate) * x
        hidden = torch.nn.functional.leaky_relu(dense("hidden", x), SLOPE)
        feature = dense("feature", hidden)
        return x + feature if name == "critic" else feature

    return call


def transcribed_ct(query, key, weights):
    """Conditional transport, the matrices of costs and plans."""
    import torch

    query, key = _standardize(query, key)
    critic, navigator = _network("critic", weights), _network("navigator", weights)
    normalize = torch.nn.functional.normalize
    costs = 1.0 - torch.einsum(
        "btnh,bsnh->bnts",
        normalize(critic(query), dim=-1),
        normalize(critic(key), dim=-1),
    )
    logits = torch.einsum("btnh,bsnh->bnts", navigator(query), navigator(key))
    forward = (logits.softmax(-1) * costs).sum(-1).mean(-1)
    backward = (logits.softmax(-2) * costs).sum(-2).mean(-1)
    return 0.5 * forward + 0.5 * backward


def transcribed_gan(query, key, weights):
    """The paper's objective, `E_q[log D(q)] + E_k[log(1 - D(k))]`."""
    import torch

    query, key = _standardize(query, key)
    discriminator = _network("discriminator", weights)
    logsigmoid = torch.nn.functional.logsigmoid
    value = logsigmoid(discriminator(query)).mean(1)
    return (value + logsigmoid(-discriminator(key)).mean(1))[..., 0]


def transcribed_mmd(query, key, weights):
    """Biased maximum mean discrepancy of a Gaussian kernel of the width `H ** 0.5`."""
    import torch

    query, key = (x.transpose(1, 2) for x in (query, key))
    precision = 1.0 / query.shape[-1]

    def kernel(x, y):
        return torch.exp(-0.5 * precision * torch.cdist(x, y).square()).mean((-2, -1))

    return kernel(query, query) + kernel(key, key) - 2.0 * kernel(query, key)


def transcribed_ot(query, key, weights):
    """Cosine cost of the plan of log-domain Sinkhorn iterations, run to 1e-6."""
    import torch

    normalize = torch.nn.functional.normalize
    query, key = (normalize(x.transpose(1, 2), dim=-1) for x in (query, key))
    costs = 1.0 - query @ key.transpose(-1, -2)
    with torch.no_grad():
        log_count = np.log(costs.shape[-1])
        f, g = torch.zeros_like(costs[..., :1]), torch.zeros_like(costs[..., :1, :])
        error, beyond = 1.0, 1.8  # over-relaxed near the solution
        while error > 1e-6:
            step = beyond if error < 0.1 else 1.0
            new = EPSILON * (log_count - ((g - costs) / EPSILON).logsumexp(-1, True))
            f = f + step * (new - f)
            new = EPSILON * (log_count - ((f - costs) / EPSILON).logsumexp(-2, True))
            g = g + step * (new - g)
            plan = torch.exp((f + g - costs) / EPSILON - 2.0 * log_count)
            errors = [plan.sum(axis) * costs.shape[-1] - 1.0 for axis in (-1, -2)]
            error = max(each.abs().mean(-1).max() for each in errors)
    return (plan * costs).sum((-2, -1))


def _torch_step(function, divergence, tokens, dtype, compiled=False):
    import torch

    torch.set_num_threads(1)
    query, key, weights = problem(tokens)
    if dtype == torch.float64:
        query, key = query[:1], key[:1]  # the reference of one sample is enough

    def tensor(x):
        return torch.tensor(x, dtype=dtype, requires_grad=True)

    query, key = tensor(query), tensor(key)
    weights = used_by(divergence, weights)
    weights = {name: tuple(map(tensor, pair)) for name, pair in weights.items()}
    inputs = [query, key, *(w for pair in weights.values() for w in pair)]
    value = torch.compile(function) if compiled else function

    def step():
        result = value(query, key, weights)
        return result, torch.autograd.grad(result.sum(), inputs)

    return step


def transcription(divergence, tokens, compiled=False, exact=False):
    """PyTorch with automatic differentiation; `exact` in float64."""
    import torch

    function = globals()[f"transcribed_{divergence}"]
    dtype = torch.float64 if exact else torch.float32
    return _torch_step(function, divergence, tokens, dtype, compiled)


def compiled(divergence, tokens):
    """The transcription under `torch.compile`."""
    return transcription(divergence, tokens, compiled=True)


def reference(divergence, tokens):
    """The transcription in float64."""
    return transcription(divergence, tokens, exact=True)


def geomloss(divergence, tokens, scaling=0.5):
    """GeomLoss. Its Sinkhorn loss has other values, but the same gradient."""
    import torch
    from geomloss import SamplesLoss

    if divergence == "mmd":
        loss = SamplesLoss("gaussian", blur=64**0.5, backend="tensorized")
    else:  # |x - y|^2 / 2 of unit vectors is the cosine cost
        options = {"p": 2, "blur": EPSILON**0.5, "scaling": scaling, "debias": False}
        loss = SamplesLoss("sinkhorn", backend="tensorized", **options)

    def value(query, key, weights):
        query, key = (x.transpose(1, 2).flatten(0, 1) for x in (query, key))
        if divergence == "ot":
            normalize = torch.nn.functional.normalize
            query, key = normalize(query, dim=-1), normalize(key, dim=-1)
            return loss(query, key)
        return 2.0 * loss(query, key)  # GeomLoss has half of the square

    return _torch_step(value, divergence, tokens, torch.float32)


def geomloss_slow(divergence, tokens):
    """GeomLoss with the slow annealing that its documentation names for accuracy."""
    return geomloss(divergence, tokens, scaling=0.95)


def pot(divergence, tokens):
    """POT's batched Sinkhorn iterations on PyTorch tensors."""
    import torch
    from ot.batch import solve_batch

    def value(query, key, weights):
        normalize = torch.nn.functional.normalize
        query, key = (x.transpose(1, 2).flatten(0, 1) for x in (query, key))
        query, key = normalize(query, dim=-1), normalize(key, dim=-1)
        costs = 1.0 - query @ key.transpose(-1, -2)
        with torch.no_grad():
            options = {"max_iter": MAX_ITERATIONS, "tol": TOLERANCE, "grad": "detach"}
            plan = solve_batch(costs, EPSILON, **options).plan
        return (plan * costs).sum((-2, -1))

    return _torch_step(value, divergence, tokens, torch.float32)


def ott(divergence, tokens):
    """OTT-JAX, one problem for each sample and head under `vmap` and `jit`."""
    import jax
    from jax import numpy as jnp
    from ott.geometry import geometry
    from ott.solvers import linear

    query, key, _ = problem(tokens)
    arrays = [jnp.asarray(x, "float32") for x in (query, key)]

    def plan(costs):
        geom = geometry.Geometry(costs, epsilon=EPSILON)
        options = {"threshold": TOLERANCE, "max_iterations": MAX_ITERATIONS}
        return linear.solve(geom, **options).matrix

    def value(pair):
        query, key = (x.swapaxes(1, 2).reshape(-1, tokens, x.shape[-1]) for x in pair)
        query, key = (
            x / jnp.linalg.norm(x, axis=-1, keepdims=True) for x in (query, key)
        )
        costs = 1.0 - query @ key.swapaxes(1, 2)
        plans = jax.vmap(plan)(jax.lax.stop_gradient(costs))
        each = (jax.lax.stop_gradient(plans) * costs).sum((1, 2))
        return each.sum(), each

    compiled = jax.jit(jax.value_and_grad(value, has_aux=True))

    def step():
        (_, each), gradients = compiled(arrays)
        return jax.block_until_ready((each, gradients))

    return step
