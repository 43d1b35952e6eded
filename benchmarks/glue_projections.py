"""GLUE with an alignment loss whose gradient reaches the projections alone.

    python benchmarks/glue_projections.py --data-dir FOLDER --tasks CoLA \
        --compare soft,ct,ct_projections

The gradient of `<alignment>_projections` stops at the inputs of the projections of
queries and keys, and does not reach the layers below, see `alignment_variants.py`.
Options and files are those of `examples/fine_tuning/glue.py`.
"""

import alignment_variants
import glue
import methods


def main(arguments=None):
    for name in methods.ALIGNMENTS:
        variant = f"{name}_{alignment_variants.PROJECTIONS}"
        method = methods.Method(variant, name, matched=methods.MATCHED)
        methods.METHODS[variant] = method
    glue.main(arguments, alignment_variants.RunsOfVariants)


if __name__ == "__main__":
    main()
