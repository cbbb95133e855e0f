"""The IMU paper's tables and figures again: what it prints, which runs answer each, and what the two say beside each other."""
