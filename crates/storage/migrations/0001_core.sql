-- One text for both engines. Types are PostgreSQL's words; the runner turns them into SQLite's
-- (uuid, bytea -> BLOB; bigint, boolean -> INTEGER) and makes every table STRICT.
-- Times are unix milliseconds. A table with tenant_id gets forced row-level security on PostgreSQL
-- unless it stands in the reviewed list SERVER_WIDE of migrate.rs.

-- Server-wide (reviewed list) ---------------------------------------------------------------------

create table tenant (
  id uuid primary key,
  name text not null,
  created_at bigint not null
);

create table tenant_domain (
  domain text primary key,               -- lower case; a mail domain belongs to one tenant
  tenant_id uuid not null,
  created_at bigint not null
);

-- What a stranger presents (certificate, token, session, challenge, ...) -> tenant and record.
create table lookup (
  kind text not null,                    -- certificate, token, session, challenge, enrollmentToken, setup, ...
  hash bytea not null,                   -- SHA-256 of what was presented
  tenant_id uuid not null,
  subject_id uuid not null,
  expires_at bigint,
  primary key (kind, hash)
);
create index lookup_expiry on lookup (expires_at) where expires_at is not null;
create index lookup_subject on lookup (tenant_id, kind, subject_id);

create table job (
  id uuid primary key,
  tenant_id uuid not null,
  kind text not null,
  coalesce_key text,                     -- at most one waiting job per key
  payload text not null,
  run_at bigint not null,
  attempts bigint not null default 0,
  claim uuid,                            -- names the lease; completion must present it
  claimed_until bigint,
  last_error text,
  set_aside_at bigint,                   -- a poisoned job waits for a person
  created_at bigint not null
);
create index job_due on job (run_at) where set_aside_at is null;
create unique index job_coalesce on job (tenant_id, kind, coalesce_key) where coalesce_key is not null and claim is null and set_aside_at is null;

create table lease (
  name text primary key,
  holder uuid not null,
  until bigint not null
);

-- Certificate authorities and server keys; private keys sealed under the key file.
create table authority (
  id uuid primary key,
  purpose text not null,                 -- root, device, access, listener, signer
  certificate bytea not null,            -- DER
  private_key bytea not null,            -- sealed PKCS#8
  created_at bigint not null,
  retired_at bigint
);
create unique index authority_current on authority (purpose) where retired_at is null;

-- Tenant ------------------------------------------------------------------------------------------

create table organization (
  tenant_id uuid primary key,
  mdm_authority text not null,           -- unknown until set once
  stop_epoch bigint not null default 0,  -- raised by every emergency stop and lift; odd means stopped
  settings text not null,                -- JSON object: small tenant-wide settings by key
  version bigint not null default 1
);

create table tenant_key (
  tenant_id uuid not null,
  version bigint not null,
  wrapped bytea not null,                -- data key wrapped by the key file's key
  created_at bigint not null,
  primary key (tenant_id, version)
);

-- Escrowed and other secret values: sealed, addressed by what they belong to.
create table secret (
  tenant_id uuid not null,
  id uuid not null,
  owner_kind text not null,              -- device, enrollment, document, organization, user
  owner_id uuid not null,
  name text not null,                    -- unlockToken, bootstrapToken, fileVaultKey, lockPin, pushKey, ...
  sealed bytea not null,
  created_at bigint not null,
  primary key (tenant_id, id)
);
create index secret_owner on secret (tenant_id, owner_kind, owner_id, name, created_at);

-- People -------------------------------------------------------------------------------------------

create table person (                    -- Graph's user
  tenant_id uuid not null,
  id uuid not null,
  source text not null default 'local',
  external_id text,
  user_principal_name text not null,
  user_principal_name_key text not null, -- lower case
  display_name text not null,
  mail text,
  account_enabled boolean not null,
  licensed boolean not null,
  managed_apple_account text,
  document text not null,                -- every other Graph property, JSON
  deleted_at bigint,
  version bigint not null default 1,
  created_at bigint not null,
  modified_at bigint not null,
  primary key (tenant_id, id)
);
create unique index person_upn on person (tenant_id, user_principal_name_key) where deleted_at is null;
create unique index person_external on person (tenant_id, source, external_id) where external_id is not null;
create index person_name on person (tenant_id, display_name, id);

create table password (
  tenant_id uuid not null,
  person_id uuid not null,
  hash text not null,                    -- argon2id, PHC string
  must_change boolean not null,
  failures bigint not null default 0,
  not_before bigint not null default 0,  -- next attempt allowed
  changed_at bigint not null,
  primary key (tenant_id, person_id)
);

create table second_factor (
  tenant_id uuid not null,
  person_id uuid not null,
  sealed bytea not null,                 -- TOTP secret
  last_step bigint not null default 0,   -- a code is accepted once
  recovery text not null,                -- JSON array of hashes left
  changed_at bigint not null,
  primary key (tenant_id, person_id)
);

create table operator (                  -- a person with a role
  tenant_id uuid not null,
  person_id uuid not null,
  role text not null,
  made_by uuid,
  established_at bigint not null,        -- when the role was given; the cooling period counts from the latest of this and credential changes
  primary key (tenant_id, person_id)
);

create table token (
  tenant_id uuid not null,
  id uuid not null,
  name text not null,
  hash bytea not null,
  role text not null,
  scopes text,                           -- JSON array of Graph scope words, null for none
  maker_kind text not null,              -- commandLine, operator
  maker_id uuid,
  person_id uuid,                        -- the person a token acts for
  created_at bigint not null,
  expires_at bigint,
  revoked_at bigint,
  primary key (tenant_id, id)
);

create table session (
  tenant_id uuid not null,
  id uuid not null,
  hash bytea not null,
  audience text not null,                -- console, enrollment, portal
  person_id uuid not null,
  csrf_hash bytea,
  strong_at bigint,                      -- time of the second factor
  state text not null,                   -- JSON: step of a flow, kind chosen, device facts
  created_at bigint not null,
  last_used_at bigint not null,
  expires_at bigint not null,
  primary key (tenant_id, id)
);
create index session_person on session (tenant_id, person_id, created_at);

create table directory_group (           -- Graph's group
  tenant_id uuid not null,
  id uuid not null,
  source text not null default 'local',
  external_id text,
  display_name text not null,
  document text not null,
  deleted_at bigint,
  version bigint not null default 1,
  created_at bigint not null,
  modified_at bigint not null,
  primary key (tenant_id, id)
);
create unique index directory_group_external on directory_group (tenant_id, source, external_id) where external_id is not null;
create index directory_group_name on directory_group (tenant_id, display_name, id);

create table group_member (
  tenant_id uuid not null,
  group_id uuid not null,
  member_kind text not null,             -- user, device, group
  member_id uuid not null,               -- person.id, directory id of a device, group id
  created_at bigint not null,
  primary key (tenant_id, group_id, member_kind, member_id)
);
create index group_member_of on group_member (tenant_id, member_kind, member_id);

-- Documents: every Graph entity that is configuration -------------------------------------------------

create table document (
  tenant_id uuid not null,
  kind text not null,                    -- the collection: deviceConfigurations, deviceCategories, ...
  id uuid not null,
  odata_type text not null,
  display_name text not null,
  body text not null,                    -- JSON without id, version and times
  priority bigint,
  version bigint not null default 1,
  created_at bigint not null,
  modified_at bigint not null,
  primary key (tenant_id, kind, id)
);

create table assignment (
  tenant_id uuid not null,
  id uuid not null,
  kind text not null,                    -- document.kind
  document_id uuid not null,
  target text not null,                  -- allDevices, allUsers, group
  exclude boolean not null,
  group_id uuid,
  filter_id uuid,
  filter_mode text not null default 'none',
  intent text not null default 'apply',
  primary key (tenant_id, id)
);
create index assignment_document on assignment (tenant_id, kind, document_id);
create index assignment_group on assignment (tenant_id, group_id);

create table blob (
  tenant_id uuid not null,
  hash bytea not null,                   -- SHA-256
  content bytea not null,
  created_at bigint not null,
  primary key (tenant_id, hash)
);

-- Devices -------------------------------------------------------------------------------------------

create table device (                    -- Graph's managedDevice
  tenant_id uuid not null,
  id uuid not null,
  directory_id uuid not null,            -- id of /devices
  azure_ad_device_id uuid not null,      -- managedDevice.azureADDeviceId = directory device's deviceId
  source text not null default 'mdm',
  external_id text,
  person_id uuid,                        -- primary user
  user_principal_name text,
  name text not null,
  managed_device_name text,
  platform text not null,                -- iOS, iPadOS, macOS
  operating_system text not null,
  os_version text,
  manufacturer text,
  model text,
  product_name text,
  serial_number text,
  udid text,
  imei text,
  owner_type text not null,              -- company, personal, unknown
  owner_type_before text,                -- for the guard: what it was
  owner_type_changed_at bigint,
  enrollment_type text not null,         -- by beta's word; v1.0 maps what it lacks
  enrollment_profile_name text,
  management_state text not null,
  compliance_state text not null default 'unknown',
  is_supervised boolean not null default false,
  is_encrypted boolean,
  category_id uuid,
  category_name text,
  notes text,
  state text not null,                   -- pending, enrolled, leaving, left, wiped, gone, duplicateClaim
  free_bytes bigint,
  total_bytes bigint,
  document text not null default '{}',   -- rarer managedDevice properties
  scope_tags text not null default '["0"]',
  enrolled_at bigint,
  last_sync_at bigint,
  left_at bigint,
  certificate_expires_at bigint,
  version bigint not null default 1,
  created_at bigint not null,
  modified_at bigint not null,
  -- Lowered once, for indexes and searches.
  name_key text generated always as (lower(name)) stored,
  user_principal_name_key text generated always as (lower(user_principal_name)) stored,
  serial_number_key text generated always as (lower(serial_number)) stored,
  primary key (tenant_id, id)
);
create unique index device_directory on device (tenant_id, directory_id);
create unique index device_azure on device (tenant_id, azure_ad_device_id);
create unique index device_external on device (tenant_id, source, external_id) where external_id is not null;
create index device_person on device (tenant_id, person_id, id);
-- The list of devices (device_list.rs): what it shows stands in the same words in each index, so that
-- a page costs its own rows and a count reads no row at all. The last one is searched from end to end:
-- it has what people filter and sort by, and is a quarter of the table.
create index device_listed on device (tenant_id, id) where state in ('enrolled', 'leaving');
create index device_name on device (tenant_id, name_key, id) where state in ('enrolled', 'leaving');
create index device_upn on device (tenant_id, user_principal_name_key, id) where state in ('enrolled', 'leaving');
create index device_sync on device (tenant_id, last_sync_at, id) where state in ('enrolled', 'leaving');
create index device_enrolled on device (tenant_id, enrolled_at, id) where state in ('enrolled', 'leaving');
create index device_searched on device (tenant_id, id, name_key, user_principal_name_key, serial_number_key, model,
  operating_system, compliance_state, owner_type, management_state, is_supervised, is_encrypted, last_sync_at,
  enrolled_at) where state in ('enrolled', 'leaving');
create index device_serial on device (tenant_id, serial_number_key, id);
create index device_udid on device (tenant_id, udid);

create table enrollment (                -- a channel: Apple device, Apple user, ...
  tenant_id uuid not null,
  id uuid not null,
  device_id uuid not null,
  channel text not null,                 -- appleDevice, appleUser
  protocol_id text not null,             -- UDID or EnrollmentID, and the user part behind ':'
  user_short_name text,
  state text not null,                   -- pending, enrolled, leaving, left
  topic text,
  push_token bytea,
  push_magic text,
  push_state text not null default 'unknown', -- unknown, reachable, unreachable
  push_changed_at bigint,
  push_past text not null default '[]',  -- digests of push values that newer ones replaced
  awaiting_configuration boolean not null default false,
  declarative boolean not null default false, -- DDM switched on at the device
  access_token_hash bytea,               -- bearer of account-driven enrollments
  token_updates bigint not null default 0,
  certificate_generation bigint not null default 0,
  os_version text,
  enrolled_at bigint,
  last_seen_at bigint,
  created_at bigint not null,
  primary key (tenant_id, id)
);
create index enrollment_device on enrollment (tenant_id, device_id, channel);
create index enrollment_protocol on enrollment (tenant_id, protocol_id);
create index enrollment_seen on enrollment (tenant_id, last_seen_at);

create table certificate (
  tenant_id uuid not null,
  id uuid not null,
  fingerprint bytea not null,            -- SHA-256 of the DER
  serial bytea not null,
  issuer text not null,                  -- device, access, external
  purpose text not null,                 -- identity, access, wifi, vpn, ...
  device_id uuid,
  enrollment_id uuid,                    -- bound at Authenticate
  enrollment_session_id uuid,            -- the flow it was issued to
  document_id uuid,                      -- the certificate profile, if one asked for it
  public_key_hash bytea not null,
  state text not null,                   -- issued, active, superseded, leaving, revoked
  generation bigint not null default 1,
  not_before bigint not null,
  not_after bigint not null,
  revoked_at bigint,
  revocation_reason text,
  der bytea not null,
  created_at bigint not null,
  primary key (tenant_id, id)
);
create unique index certificate_fingerprint on certificate (tenant_id, fingerprint);
create index certificate_device on certificate (tenant_id, device_id, purpose);
create index certificate_key on certificate (tenant_id, public_key_hash);
create index certificate_revoked on certificate (tenant_id, issuer, revoked_at) where revoked_at is not null;
create index certificate_expiry on certificate (tenant_id, not_after);

create table scep_challenge (
  tenant_id uuid not null,
  id uuid not null,
  hash bytea not null,
  purpose text not null,                 -- identity, access, ...
  enrollment_session_id uuid,
  device_id uuid,
  enrollment_id uuid,
  document_id uuid,
  command_id uuid,                       -- handed out again: the earlier challenge is void
  subject text not null,                 -- JSON: subject, SAN, EKU, validity that we decided
  state text not null,                   -- open, used, void
  transaction_id text,
  public_key_hash bytea,
  certificate_id uuid,
  created_at bigint not null,
  expires_at bigint not null,
  used_at bigint,
  primary key (tenant_id, id)
);
create index scep_challenge_command on scep_challenge (tenant_id, command_id);
create index scep_challenge_session on scep_challenge (tenant_id, enrollment_session_id);
create index scep_challenge_expiry on scep_challenge (tenant_id, expires_at);

create table enrollment_session (        -- one person enrolling one device; rights live here, never in a URL
  tenant_id uuid not null,
  id uuid not null,
  person_id uuid not null,
  method text not null,                  -- profile, byod, adde
  owner_type text not null,
  enrollment_type text not null,
  profile_id uuid,                       -- appleUserInitiatedEnrollmentProfile
  profile_name text,
  category_id uuid,
  platform text not null,
  managed_apple_account text,
  token_hash bytea,                      -- opaque access token
  protocol_id text,                      -- bound at Authenticate
  device_id uuid,
  state text not null,                   -- open, fetched, bound, closed
  details text not null default '{}',
  created_at bigint not null,
  expires_at bigint not null,
  primary key (tenant_id, id)
);

create table fact (
  tenant_id uuid not null,
  device_id uuid not null,
  name text not null,
  value text not null,                   -- JSON
  source text not null,                  -- authenticate, deviceInformation, securityInfo, status, operator, ...
  observed_at bigint not null,
  changed_at bigint not null,
  primary key (tenant_id, device_id, name)
);

create table detected_app (
  tenant_id uuid not null,
  device_id uuid not null,
  identifier text not null,
  app_id uuid not null,                  -- one id per (name, version, identifier) in the tenant
  name text not null,
  version text not null,
  size_bytes bigint,
  managed boolean not null,
  observed_at bigint not null,
  primary key (tenant_id, device_id, identifier)
);
create index detected_app_app on detected_app (tenant_id, app_id, device_id);

create table inventory_query (           -- one live query per device and kind
  tenant_id uuid not null,
  enrollment_id uuid not null,
  kind text not null,
  command_id uuid,
  asked_at bigint,
  answered_at bigint,
  due_at bigint not null,
  primary key (tenant_id, enrollment_id, kind)
);

-- Desired and reported state ---------------------------------------------------------------------------

create table device_state (
  tenant_id uuid not null,
  enrollment_id uuid not null,
  dirty_seq bigint not null default 1,
  computed_seq bigint not null default 0,
  desired_hash bytea,
  reported_hash bytea,
  declarations_token text,
  computed_at bigint,
  primary key (tenant_id, enrollment_id)
);
create index device_state_dirty on device_state (tenant_id, enrollment_id) where dirty_seq > computed_seq;

create table item (                      -- one thing a channel should have, or had and should lose
  tenant_id uuid not null,
  enrollment_id uuid not null,
  item_key text not null,                -- e.g. profile:<document id>, declaration:<id>
  kind text not null,                    -- profile, declaration
  document_kind text,
  document_id uuid,
  desired_version bytea,                 -- null: should not be there
  reported_version bytea,                -- null: is not there
  content text not null default '{}',    -- logical settings to render at hand-out; no secrets
  state text not null,                   -- pending, succeeded, error, conflict, notApplicable
  error text,                            -- JSON: code, message
  command_id uuid,                       -- in flight
  attempts bigint not null default 0,
  retry_at bigint,
  changed_at bigint not null,
  primary key (tenant_id, enrollment_id, item_key)
);
create index item_document on item (tenant_id, document_kind, document_id);
create index item_command on item (tenant_id, command_id);

create table setting_state (             -- what is true per setting; rewritten when it changes
  tenant_id uuid not null,
  device_id uuid not null,
  document_kind text not null,
  document_id uuid not null,
  setting text not null,
  state text not null,                   -- Graph's complianceStatus
  reason text,
  sources text not null default '[]',
  changed_at bigint not null,
  primary key (tenant_id, device_id, document_kind, document_id, setting)
);
create index setting_state_document on setting_state (tenant_id, document_kind, document_id);

-- Commands: the live queue, apart from append-only history ----------------------------------------------

create table command (
  tenant_id uuid not null,
  enrollment_id uuid not null,
  id uuid not null,                      -- CommandUUID on the wire
  device_id uuid not null,
  request_type text not null,
  payload text not null,                 -- JSON: what to render at hand-out, no secrets
  origin text not null,                  -- item, action, inventory, raw, system
  action_id uuid,
  destructive boolean not null default false,
  priority bigint not null,              -- lower first
  state text not null,                   -- held, queued, sent, notNow
  not_now_session uuid,
  attempts bigint not null default 0,
  not_before bigint not null default 0,
  expires_at bigint,
  created_at bigint not null,
  sent_at bigint,
  primary key (tenant_id, enrollment_id, id)
);
create index command_head on command (tenant_id, enrollment_id, priority, created_at);
create index command_action on command (tenant_id, action_id) where action_id is not null;
create index command_expiry on command (tenant_id, expires_at) where expires_at is not null;

create table command_history (            -- two trees only: every finished command is written to each
  tenant_id uuid not null,
  enrollment_id uuid not null,
  id uuid not null,                      -- in the order made
  device_id uuid not null,
  request_type text not null,
  origin text not null,
  action_id uuid,
  status text not null,                  -- acknowledged, error, commandFormatError, expired, cancelled
  error_chain text,
  attempts bigint not null,
  created_at bigint not null,
  finished_at bigint not null,
  primary key (tenant_id, enrollment_id, id)
);
create index command_history_age on command_history (tenant_id, finished_at);

create table command_raw (               -- operator's raw command bodies, sealed
  tenant_id uuid not null,
  id uuid not null,
  sealed bytea not null,
  primary key (tenant_id, id)
);

-- Actions and the guard ------------------------------------------------------------------------------------

create table action (
  tenant_id uuid not null,
  id uuid not null,
  device_id uuid not null,
  name text not null,                    -- Graph's action name
  parameters text not null,              -- JSON; secrets by reference
  actor_kind text not null,
  actor_id uuid not null,
  actor_name text not null,
  principal_id uuid not null,            -- whose limits it uses: the person behind a token, else the actor
  approval_id uuid,
  bulk_id uuid,
  reason text,
  state text not null,                   -- held, approved, queued, sent, active, done, failed, notSupported, canceled, expired
  result text,
  requested_at bigint not null,
  release_after bigint,
  expires_at bigint,
  updated_at bigint not null,
  primary key (tenant_id, id)
);
create index action_device on action (tenant_id, device_id, name, requested_at);
create index action_state on action (tenant_id, state, release_after);
create index action_principal on action (tenant_id, principal_id, name, requested_at);
create index action_approval on action (tenant_id, approval_id) where approval_id is not null;
create index action_bulk on action (tenant_id, bulk_id) where bulk_id is not null;
create index action_expiry on action (tenant_id, expires_at) where state in ('approved', 'queued', 'sent');
create unique index action_waiting on action (tenant_id, device_id, name) where state in ('held', 'approved', 'queued', 'sent', 'active');

create table approval (
  tenant_id uuid not null,
  id uuid not null,
  action_name text not null,
  subject_hash bytea not null,           -- of the frozen id list and parameters
  subjects text not null,                -- JSON array of device ids, frozen
  parameters text not null,
  requester_kind text not null,
  requester_id uuid not null,
  requester_name text not null,
  requester_principal uuid not null,     -- the person behind a token, else the requester
  reason text,
  state text not null,                   -- pending, approved, denied, expired, void
  decided_by_kind text,
  decided_by_id uuid,
  decided_by_name text,
  decided_at bigint,
  self_release_at bigint,
  effective_at bigint,
  created_at bigint not null,
  expires_at bigint not null,
  primary key (tenant_id, id)
);
create index approval_state on approval (tenant_id, state, created_at);

create table guard_ledger (              -- what was released, for the moving windows
  tenant_id uuid not null,
  id uuid not null,
  action_name text not null,
  principal_id uuid not null,
  device_id uuid not null,
  action_id uuid not null,
  released_at bigint not null,
  primary key (tenant_id, id)
);
create unique index guard_ledger_action on guard_ledger (tenant_id, action_id);
create index guard_ledger_window on guard_ledger (tenant_id, action_name, released_at);

create table guard_budget (              -- one row a tenant and action: the conditional update serialises releasers
  tenant_id uuid not null,
  action_name text not null,
  version bigint not null default 0,
  primary key (tenant_id, action_name)
);

-- Time, events, audit --------------------------------------------------------------------------------------

create table timer (
  tenant_id uuid not null,
  kind text not null,
  subject_id uuid not null,
  due_at bigint not null,
  payload text not null default '{}',
  primary key (tenant_id, kind, subject_id)
);
create index timer_due on timer (tenant_id, due_at);

create table outbox (
  tenant_id uuid not null,
  id uuid not null,
  kind text not null,
  subject_kind text not null,
  subject_id uuid,
  body text not null default '{}',
  created_at bigint not null,
  primary key (tenant_id, id)
);
create index outbox_age on outbox (tenant_id, created_at);

create table outbox_cursor (
  tenant_id uuid not null,
  consumer text not null,
  position uuid not null,
  primary key (tenant_id, consumer)
);

create table audit (
  tenant_id uuid not null,
  id uuid not null,
  activity text not null,
  activity_type text not null,
  operation text not null,               -- Create, Patch, Delete, Action, Get, SignIn, ...
  category text not null,
  component text not null,
  result text not null,                  -- Success, Failure
  actor_kind text not null,
  actor_id uuid,
  correlation_id uuid,
  resources text not null,               -- JSON array: type, resourceId, modifiedProperties without personal values
  personal_digest bytea not null,        -- salted digest of the erasable fields
  at bigint not null,
  primary key (tenant_id, id)
);
create index audit_at on audit (tenant_id, at, id);
create index audit_category on audit (tenant_id, category, at, id);

create table audit_person (              -- personal fields, erasable without breaking the chain
  tenant_id uuid not null,
  audit_id uuid not null,
  salt bytea not null,
  fields text not null,                  -- JSON: actor name, address, resource display names
  erased_at bigint,
  primary key (tenant_id, audit_id)
);

create table audit_unsealed (
  tenant_id uuid not null,
  audit_id uuid not null,
  primary key (tenant_id, audit_id)
);

create table audit_chain (
  tenant_id uuid not null,
  n bigint not null,
  audit_id uuid not null,
  hash bytea not null,
  primary key (tenant_id, n)
);

create unique index audit_chain_audit on audit_chain (tenant_id, audit_id);

create table audit_checkpoint (
  tenant_id uuid not null,
  n bigint not null,
  hash bytea not null,
  signature bytea not null,
  at bigint not null,
  primary key (tenant_id, n)
);

-- Sign-in limits: attempts counted by account and by address.
create table attempt (
  tenant_id uuid not null,
  scope text not null,                   -- account:<hash>, address:<ip>, ...
  failures bigint not null,
  not_before bigint not null,
  updated_at bigint not null,
  primary key (tenant_id, scope)
);

create table enrollment_failure (        -- Graph's troubleshooting events
  tenant_id uuid not null,
  id uuid not null,
  person_id uuid,
  category text not null,                -- deviceEnrollmentFailureReason
  reason text not null,                  -- readable for the person
  platform text,
  os_version text,
  correlation_id uuid,
  at bigint not null,
  primary key (tenant_id, id)
);
create index enrollment_failure_at on enrollment_failure (tenant_id, at);
