"""What a picture shows, by its pixels and by the vectors of an encoder: numbers in, numbers out, no model inside."""
