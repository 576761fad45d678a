"""What measures the harness's own speed; figures and what was learned stand in `NOTES.md`."""
