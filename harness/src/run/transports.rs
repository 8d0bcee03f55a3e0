//! The orders of a cell: one for each transport that was asked for, alike but for the way to the guest.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::machines::Machines;
use super::order::{self, WorkOrder};
use super::{Means, Workshop};
use crate::boot::link::SshAccess;
use crate::build::Trouble;
use crate::build::ssh::{self, Kit};
use crate::model::{Cause, Transport};

/// The transports of a run.
pub(super) struct Transports<'a> {
    means: &'a Means<'a>,
    shop: &'a Workshop<'a>,
    wanted: &'a [Transport],
    /// What guests need over ssh, once one does, or why there is none: the keys are the run's.
    kit: Option<Result<Kit, Cause>>,
    /// The images that have it.
    images: BTreeSet<PathBuf>,
}

impl<'a> Transports<'a> {
    /// These.
    pub(super) fn new(means: &'a Means<'a>, shop: &'a Workshop<'a>, wanted: &'a [Transport]) -> Self {
        Transports { means, shop, wanted, kit: None, images: BTreeSet::new() }
    }

    /// The order of a cell over each of them, by the one that it has over serial.
    pub(super) async fn orders(
        &mut self,
        machines: &mut Machines<'_>,
        serial: WorkOrder,
    ) -> Result<Vec<(Transport, WorkOrder)>, Trouble> {
        let mut orders = Vec::new();
        for &transport in self.wanted {
            let order = match transport {
                Transport::Serial => serial.clone(),
                Transport::Ssh => self.over_ssh(machines, serial.clone()).await?,
            };
            orders.push((transport, order));
        }
        Ok(orders)
    }

    async fn over_ssh(
        &mut self,
        machines: &mut Machines<'_>,
        mut order: WorkOrder,
    ) -> Result<WorkOrder, Trouble> {
        let Means { project, host, out, .. } = *self.means;
        if self.kit.is_none() {
            self.kit = Some(match Kit::make(self.shop, project, host, &out.join(order::KEYS)).await {
                Ok(kit) => Ok(kit),
                // What failed for one cell is not tried again for hundreds.
                Err(Trouble::Cause(cause)) => Err(cause),
                Err(trouble @ Trouble::Interrupted(_)) => return Err(trouble),
            });
        }
        let kit = match &self.kit {
            Some(Ok(kit)) => kit,
            Some(Err(cause)) => return Err(cause.clone().into()),
            None => unreachable!("it was made just now"),
        };
        let image = order.guest.initramfs.with_extension("ssh.initramfs");
        if !self.images.contains(&image) {
            kit.append(&order.guest.initramfs, &image)?;
            // Only a whole one is taken as there.
            self.images.insert(image.clone());
        }
        order.guest.initramfs = image;
        order.guest.ssh = Some(SshAccess {
            user: ssh::USER.to_owned(),
            client_key: kit.client_key.clone(),
            host_key: kit.host_key.clone(),
        });
        order.images = machines.images(&order.guest)?;
        Ok(order)
    }
}
