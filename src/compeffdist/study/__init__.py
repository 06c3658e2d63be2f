"""Whether difficulty scores can be trusted: distribution, agreement, what a reader sees, what people say."""
