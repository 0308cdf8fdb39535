"""``pellucid verify``: confirm a certificate from the network's weights alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pellucid._checks import DataError
from pellucid.cli.arguments import Parser, add_output_options
from pellucid.cli.output import print_json, print_lines


def build_parser() -> Parser:
    """Return the parser."""
    parser = Parser(
        "verify",
        "Prove the bound of a certificate again, from the exported weights and the function's\n"
        "text alone; nothing that the builder computed is believed. Exits 0 if it holds, else 1.",
        [
            "pellucid verify runs/wave/certificate.json",
            "pellucid verify certificate.json --network network.safetensors --json",
        ],
    )
    parser.add_argument("certificate", metavar="CERTIFICATE", help="the JSON file, or its folder")
    parser.add_argument(
        "--network",
        metavar="FILE",
        help="the safetensors file (network.safetensors beside the certificate)",
    )
    add_output_options(parser)
    return parser


def run(given: Sequence[str]) -> int:
    """Verify one certificate; return 0 if it holds, else 1."""
    values = build_parser().parse(given)
    from pellucid.approximation.certificate import Verification, verify

    certificate = Path(values.certificate)
    if certificate.is_dir():
        certificate = certificate / "certificate.json"
    network = (
        certificate.with_name("network.safetensors")
        if values.network is None
        else Path(values.network)
    )
    for name, path in (("certificate", certificate), ("network", network)):
        if not path.is_file():
            raise DataError(
                f"{name} must be an existing file, got {str(path)!r}. Give the files that "
                "`pellucid approximate` wrote."
            )
    try:
        result = verify(network, certificate, quiet=values.quiet)
    except DataError as error:  # there, but damaged or changed: the answer is no
        result = Verification(verified=False, bound=None, status=None, reason=str(error))
    if values.json:
        print_json(
            {
                "verified": result.verified,
                "bound": result.bound,
                "status": result.status,
                "reason": result.reason,
                "seconds": result.seconds,
            }
        )
    else:
        print_lines([f"{'verified' if result.verified else 'NOT verified'}: {result.reason}"])
        if result.verified:
            print_lines(_what_holds(certificate))
    return 0 if result.verified else 1


def _what_holds(path: Path) -> list[str]:
    from pellucid.approximation.certificate import Certificate

    certificate = Certificate.load(path)
    target = certificate.target
    lines = [
        f"function  {target.get('text') or 'a ' + str(target.get('kind')).replace('_', ' ')}",
        f"box       {certificate.box}",
        f"claim     {certificate.in_words()}",
    ]
    if certificate.tolerance is not None and not certificate.met:
        lines.append(
            f"caution   the tolerance asked for was {certificate.tolerance:g}: not reached"
        )
    return lines
