"""The pages of the app, one file a page; what they are made of lies in the folders beside them."""
