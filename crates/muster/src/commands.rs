//! The subcommands that are done when they return. They may be the first run and work beside a
//! running server: nothing that can be revoked is remembered between transactions.

use std::path::Path;

use anyhow::Context as _;
use muster_service::{
    audit::Kept,
    operators::{NewAdmin, NewKeyboardToken},
};

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
    let (kept, common) = match command {
        AuditCommand::Checkpoints { common } => {
            let service = service(&common).await?;
            let tenant = service.tenant_named(common.tenant.as_deref()).await?;
            service.checkpoint_audit(tenant, service.clock.now()).await?;
            for kept in service.audit_checkpoints(tenant).await? {
                println!("{kept}");
            }
            return Ok(());
        }
        AuditCommand::Verify { kept, common } => (kept, common),
    };
    let kept: Vec<Kept> = match kept {
        None => Vec::new(),
        Some(file) => std::fs::read_to_string(&file)
            .with_context(|| format!("cannot read {}", file.display()))?
            .lines()
            .filter(|line| !line.trim().is_empty())
            .map(|line| line.parse().map_err(|why| anyhow::anyhow!("{}: {line:?}: {why}", file.display())))
            .collect::<anyhow::Result<_>>()?,
    };
    let service = service(&common).await?;
    let tenant = service.tenant_named(common.tenant.as_deref()).await?;
    let report = service.verify_audit_against(tenant, kept).await?;
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
    anyhow::ensure!(!database.exists(), "{} is there; a backup goes into an empty folder", database.display());
    let copied = tokio::task::spawn_blocking(move || muster_storage::backup::restore(&from, &database)).await??;
    println!("{} bytes at schema step {}; put the key file of that server beside it", copied.bytes, copied.schema);
    Ok(())
}

/// `approve ID`: the second person, at the server's own keyboard.
pub async fn approve(id: uuid::Uuid, common: Common) -> anyhow::Result<()> {
    let service = service(&common).await?;
    let tenant = service.tenant_named(common.tenant.as_deref()).await?;
    let name = std::env::var("SUDO_USER").or_else(|_| std::env::var("USER")).unwrap_or_else(|_| "command line".into());
    let approval = service.approve_at_keyboard(tenant, id, &name).await?;
    println!("{} is {}", approval.id, approval.state);
    Ok(())
}

/// `doctor`: what works and what is missing, one line each; an error where something must be mended.
pub async fn doctor(common: Common) -> anyhow::Result<()> {
    let config = common.load(&[])?;
    let mut broken = 0;
    let mut line = |good: bool, text: String| {
        broken += usize::from(!good);
        println!("{} {text}", if good { "ok   " } else { "MEND " });
    };
    line(true, "the configuration reads".into());
    let service = match wiring::open(&config, None).await {
        Ok(service) => service,
        Err(error) => anyhow::bail!("MEND  {error:#}"),
    };
    line(true, "the database opens, its schema is up to date, and the key file belongs to it".into());
    let tenants = service.tenants().await?;
    line(!tenants.is_empty(), format!("{} tenants (make the first with `muster admin create`)", tenants.len()));
    for tenant in tenants {
        let report = service.verify_audit(tenant.id).await?;
        line(report.is_intact(), format!("{}: {} audit rows in an intact chain", tenant.name, report.links));
        for finding in service.tenant_findings(tenant.id).await? {
            line(finding.good, format!("{}: {}", tenant.name, finding.text));
        }
    }
    let note = |there: bool, missing: &str| {
        if !there {
            println!("note  {missing}");
        }
    };
    note(
        config.mail.url.is_some(),
        "no mail server is configured (mail.url, mail.from): nobody is told of waiting requests",
    );
    note(
        config.apple.device_ca_file.is_some() || config.compat.apple_any_device_ca,
        "no Apple roots are configured (apple.device_ca_file): account-driven enrollment is refused",
    );
    anyhow::ensure!(broken == 0, "{broken} things to mend");
    Ok(())
}
