"""The migrations, packaged with the program and only ever run forward."""
