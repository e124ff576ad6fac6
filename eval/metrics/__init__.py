"""One file a measure: from predictions and truths to numbers."""
