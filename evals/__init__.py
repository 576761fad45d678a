"""Golden cases in, verdicts out: cases -> prompts -> generate -> checks -> runs -> scores -> gate -> report."""
