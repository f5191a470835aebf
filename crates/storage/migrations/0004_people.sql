-- Since when a device has its primary user, where it changed since enrollment: the guard looks at it
-- before it takes their word.
alter table device add column person_since bigint;

-- Which versions of the terms of use a person accepted.
create table terms_acceptance (
  tenant_id uuid not null,
  person_id uuid not null,
  version bigint not null,
  accepted_at bigint not null,
  primary key (tenant_id, person_id, version)
);
