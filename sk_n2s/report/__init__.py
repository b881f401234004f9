"""What people look at before they trust a denoised array: the HTML report, and the displays."""

from ._report import Report, report_of

__all__ = ["Report", "report_of"]
