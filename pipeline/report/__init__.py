"""The HTML reports: plots, drawn pictures, the page."""
