//! Prints the OpenAPI document; `cargo xtask openapi` writes it to its place.

fn main() {
    print!("{}", muster_web::openapi::text());
}
