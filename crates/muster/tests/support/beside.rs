//! A second server of a story's deployment: the same database, key file and addresses, listeners of
//! its own. Which of the two a client reaches is a matter of its network, as behind a balancer.

use std::sync::Arc;

use muster::{demo::api::Api, doors::Doors, server::Running, wiring};
use muster_service::{Clock as _, Service, testing::SeededRandom};
use muster_swarm::shell::Network;

use super::{Phone, TestApp};

/// The second server.
pub struct Beside {
    /// Its decisions.
    pub service: Service,
    /// A network on which the deployment's addresses lead to it.
    pub network: Arc<Network>,
    admin: String,
    running: Running,
}

impl TestApp {
    /// Starts a second server; none on the embedded database, which belongs to one.
    pub async fn beside(&self) -> Option<Beside> {
        self._database.as_ref()?;
        let (addresses, mut config) = (&self.stage.addresses, self.stage.config.clone());
        config.public_url = Some(addresses.public.clone());
        config.device_url = Some(addresses.device.clone());
        config.admin_url = Some(addresses.admin.clone());
        let doors = Doors::bind(&config).await.unwrap();
        let clock = self.clock.clone();
        let trusted = muster_pki::Certificate::all_from_pem(&self.stage.roots).unwrap();
        let mut trusted: Vec<Vec<u8>> = trusted.iter().map(|root| root.der().to_vec()).collect();
        trusted.push(self.stage.website.root().to_vec());
        let network = Network::new(&trusted, Arc::new(move || clock.now())).unwrap();
        for (port, address) in doors.ports.iter().zip([&addresses.public, &addresses.device, &addresses.admin]) {
            network.name(address.trim_start_matches("https://"), port.listener.local_addr().unwrap());
        }
        let random = SeededRandom::new(8);
        let service = wiring::open_with(&config, Some(addresses.clone()), self.clock.clone(), random).await.unwrap();
        let running = Running::start(&config, service.clone(), doors, false).await.unwrap();
        Some(Beside { service, network, admin: addresses.admin.clone(), running })
    }
}

impl Beside {
    /// The caller of another server, from now on of this one.
    pub fn api(&self, caller: &Api) -> Api {
        Api::new(self.network.clone(), &self.admin, caller.token())
    }

    /// The balancer sends this device here from now on.
    pub async fn takes(&self, phone: &Phone) {
        phone.lock().await.move_to(self.network.clone());
    }

    /// Ends it.
    pub async fn end(self) {
        self.running.stop().await;
        self.service.store.close();
    }
}
