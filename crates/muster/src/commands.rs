//! The subcommands that are done when they return. They may be the first run and work beside a
//! running server: nothing that can be revoked is remembered between transactions.

use std::path::Path;

use anyhow::Context as _;
use muster_service::operators::{NewAdmin, NewKeyboardToken};

use crate::{
    cli::{AdminCommand, AuditCommand, CaCommand, Common, KeysCommand, TenantCommand, TokenCommand},
    config, wiring,
};

async fn service(common: &Common) -> anyhow::Result<muster_service::Service> {
    wiring::open(&common.load(&[])?, None).await
}

/// A secret that stands in a file, without the final line break.
fn secret_file(path: &Path) -> anyhow::Result<String> {
    Ok(std::fs::read_to_string(path)
        .with_context(|| format!("cannot read {}", path.display()))?
        .trim_end_matches(['\r', '\n'])
        .to_owned())
}

/// `tenant ...`
pub async fn tenant(command: TenantCommand) -> anyhow::Result<()> {
    let TenantCommand::Create { name, domain, common } = command;
    let id = service(&common).await?.create_tenant(&name, &domain).await?;
    println!("{id}");
    Ok(())
}

/// `admin ...`
pub async fn admin(command: AdminCommand) -> anyhow::Result<()> {
    let AdminCommand::Create { user, password_file, role, totp_secret_file, common } = command;
    let new = NewAdmin {
        tenant: common.tenant.clone(),
        user: user.clone(),
        password: secret_file(&password_file)?,
        role: role.clone(),
        totp_secret: totp_secret_file.as_deref().map(secret_file).transpose()?,
    };
    service(&common).await?.create_admin(new).await?;
    println!("{user} is {role}");
    Ok(())
}

/// `token ...`
pub async fn token(command: TokenCommand) -> anyhow::Result<()> {
    let TokenCommand::Create { name, role, user, expires, common } = command;
    let life = expires.as_deref().map(config::period).transpose()?;
    let new = NewKeyboardToken { tenant: common.tenant.clone(), name, role, user, life };
    let value = service(&common).await?.create_keyboard_token(new).await?;
    println!("{value}");
    Ok(())
}

/// `ca ...`
pub async fn ca(command: CaCommand) -> anyhow::Result<()> {
    let CaCommand::Export { common } = command;
    print!("{}", service(&common).await?.ca_export().await?);
    Ok(())
}

/// `audit ...`
pub async fn audit(command: AuditCommand) -> anyhow::Result<()> {
    let AuditCommand::Verify { common } = command;
    let service = service(&common).await?;
    let tenant = service.tenant_named(common.tenant.as_deref()).await?;
    let report = service.verify_audit(tenant).await?;
    println!(
        "{} rows sealed in the chain, {} checkpoints, {} findings",
        report.links, report.checkpoints, report.found
    );
    for finding in &report.findings {
        println!("{finding}");
    }
    anyhow::ensure!(report.is_intact(), "the audit chain is broken");
    Ok(())
}

/// `keys ...`
pub async fn keys(command: KeysCommand) -> anyhow::Result<()> {
    let KeysCommand::Rotate { common } = command;
    let config = common.load(&[])?;
    wiring::rotate_keys(&config).await
}

/// `migrate`
pub async fn migrate(common: Common) -> anyhow::Result<()> {
    wiring::database(&common.load(&[])?).await?;
    println!("the schema is up to date");
    Ok(())
}

/// `backup`
pub async fn backup(to: &Path, common: Common) -> anyhow::Result<()> {
    let config = common.load(&[])?;
    anyhow::ensure!(
        config.database.url.is_none(),
        "PostgreSQL is backed up with its own tools: pg_dump, pg_basebackup"
    );
    let (database, to) = (config.data()?.join("muster.db"), to.to_owned());
    let copied = tokio::task::spawn_blocking(move || muster_storage::backup::write(&database, &to)).await??;
    println!(
        "{} bytes at schema step {}; the key file is not part of it and must be kept apart",
        copied.bytes, copied.schema
    );
    Ok(())
}

/// `restore`
pub async fn restore(from: &Path, common: Common) -> anyhow::Result<()> {
    let config = common.load(&[])?;
    anyhow::ensure!(config.database.url.is_none(), "PostgreSQL is restored with its own tools: pg_restore");
    std::fs::create_dir_all(config.data()?)?;
    let (database, from) = (config.data()?.join("muster.db"), from.to_owned());
    let copied = tokio::task::spawn_blocking(move || muster_storage::backup::restore(&from, &database)).await??;
    println!("{} bytes at schema step {}; put the key file of that server beside it", copied.bytes, copied.schema);
    Ok(())
}
