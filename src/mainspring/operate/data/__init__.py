"""Data versions: added from files, folders and databases, published when they hold, compared, named and given up."""
