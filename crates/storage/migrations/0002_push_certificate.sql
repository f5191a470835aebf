-- Apple's push certificate: one a tenant. Its topic ties every enrolled device to it.
create table push_certificate (
  tenant_id uuid primary key,
  topic text,                            -- UID of the subject; null until a certificate came
  certificate text,                      -- PEM, leaf first
  private_key bytea,                     -- sealed PKCS#8
  serial text,                           -- hex
  not_after bigint,
  apple_identifier text,                 -- the Apple Account used at Apple's portal
  uploaded_at bigint,
  pending_csr bytea,                     -- DER, handed out and not yet answered
  pending_key bytea,                     -- its sealed key
  modified_at bigint not null
);
