-- Dynamic groups: the rule of each, and of whom something changed that rules can see.

create table membership_rule (
  tenant_id uuid not null,
  group_id uuid not null,
  members text not null,                 -- user, device: whom the group holds
  rule text not null,
  active boolean not null,               -- false: paused, the members stay as they are
  seq bigint not null default 1,         -- raised by every change of the rule
  walked_seq bigint not null default 0,  -- the change for which everybody was looked at
  evaluated_at bigint,                   -- when that ended
  primary key (tenant_id, group_id)
);

create table rule_subject (              -- a person or a device that rules look at
  tenant_id uuid not null,
  kind text not null,                    -- user, device
  id uuid not null,                      -- person.id, device.id
  due_seq bigint not null default 1,     -- raised by every change of the row behind it
  done_seq bigint not null default 0,    -- the change that rules were evaluated for
  digest bytea,                          -- SHA-256 of what rules could see then
  primary key (tenant_id, kind, id)
);
create index rule_subject_due on rule_subject (tenant_id, kind, id) where due_seq > done_seq;

-- Filters are found by what stands on them.
create index assignment_filter on assignment (tenant_id, filter_id) where filter_id is not null;
