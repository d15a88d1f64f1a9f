"""What the data scripts share: downloads, archives, checking."""
