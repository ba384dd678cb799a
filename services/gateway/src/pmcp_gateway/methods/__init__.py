"""What each method does. Between `dispatch` (above) and the ports (below); knows no socket and no Redis."""
