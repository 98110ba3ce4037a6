//! The process that serves: starts the emulator, puts the proxy before it, and ends both together.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

use crate::accelerator::Accelerators;
use crate::access::{self, Access};
use crate::cli::{self, Settings};
use crate::dns::NameServer;
use crate::emulator::{Credentials, Process};
use crate::environment;
use crate::error::Error;
use crate::instance::{self, Instance};
use crate::proxy::{Cut, Proxy};
use crate::scenarios::Scenarios;
use tower_service::Service;

/// Serves in the foreground until it is told to end (SIGTERM, SIGINT) or the emulator ends. `ready` is told the
/// instance once it answers.
pub(crate) async fn serve(settings: &Settings, ready: impl FnOnce(&Instance)) -> Result<(), Error> {
    let folder = settings.dir.as_path();
    let scenarios = Scenarios::new(settings.scenarios()).map_err(|error| Error::Scenario(error.to_string()))?;
    let mut lock = instance::lock(folder)?;
    if lock.is_none() {
        // `start` and `stop` look whether the folder is free by taking it for a moment.
        sleep(Duration::from_millis(200)).await;
        lock = instance::lock(folder)?;
    }
    let Some(_lock) = lock else { return Err(Error::Busy(folder.to_owned())) };
    instance::forget(folder);
    let python = environment::ensure(cli::say)?;

    let port = settings.port.unwrap_or(0);
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(|source| Error::Listen { port, source })?;
    let port = listener.local_addr()?.port();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // The terminal that started it may be closed.
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move { while hangup.recv().await.is_some() {} });

    let (access_key, token) = (Access::random_key(), access::random());
    let credentials = Credentials { key: &access_key, token: &token };
    let mut emulator = tokio::select! {
        started = Process::start(&python, folder, port, credentials) => started?,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    let name_server = NameServer::start(emulator.client()).await?;
    let instance = Instance {
        pid: std::process::id(),
        port,
        dns_port: name_server.port()?,
        emulator_pid: emulator.pid().unwrap_or_default(),
        emulator_port: emulator.port,
        started: jiff::Timestamp::now().to_string(),
        access_key,
    };
    let accelerators = Accelerators::new(settings.settle());
    let access = Access::new(port, &instance.access_key, &token);
    let proxy = Proxy::new(instance.clone(), access, emulator.client(), accelerators, scenarios);
    let router = proxy.router();
    instance.record(folder)?;
    ready(&instance);

    let outcome = tokio::select! {
        failed = name_server.serve() => Err(failed),
        failed = accept(&listener, router) => Err(failed.into()),
        ended = emulator.ended() => Err(ended),
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    };
    emulator.stop().await;
    clean(folder);
    outcome
}

/// Serves connections until none can be accepted any more. Not `axum::serve`, which cannot close a connection without an answer.
async fn accept(listener: &TcpListener, router: Router) -> std::io::Error {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => return error,
        };
        // Small answers must not wait for the acknowledgement of earlier ones.
        let _ = stream.set_nodelay(true);
        let router = router.clone();
        let service = service_fn(move |request| {
            let mut router = router.clone();
            async move {
                let answer = router.call(request).await.unwrap_or_else(|never| match never {});
                if answer.extensions().get::<Cut>().is_some() { Err("the connection is cut") } else { Ok(answer) }
            }
        });
        tokio::spawn(async move {
            // A client that went away, or whose connection a scenario cut, concerns nobody else.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn clean(folder: &Path) {
    instance::forget(folder);
    // What stays behind is removed by the next start.
    let _ = std::fs::remove_dir_all(folder.join("data"));
}
