"""Tables of methods, as papers print them."""
