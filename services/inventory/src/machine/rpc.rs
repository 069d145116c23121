//! Machines on the wire: what is asked goes in by `wire`, what is answered comes out by it.

use async_trait::async_trait;
use cwpp_access::TenantScope;
use cwpp_access::ops::MachineServiceOps;
use cwpp_chassis::{Result, Violations};
use cwpp_contracts::inventory::v1 as api;
use cwpp_contracts::inventory::v1::list_machines_request::Filter;
use uuid::Uuid;

use super::instance::Standing;
use super::ops::{Machines, Registered, machine_unknown};
use super::wire::{self, contacts, registration, to_wire};
use super::{os_name, query, tag_count};
use crate::bulk;

#[async_trait]
impl MachineServiceOps for Machines {
    async fn register_machine(
        &self,
        scope: TenantScope,
        request: api::RegisterMachineRequest,
    ) -> Result<api::RegisterMachineResponse> {
        let registration = registration(request)?;
        let Registered { machine, created, distinct, contested } = self.register(&scope, registration).await?;
        let distinct_id = distinct.map(|d| d.as_bytes().to_vec()).unwrap_or_default();
        Ok(api::RegisterMachineResponse { machine: Some(to_wire(machine)), created, distinct_id, contested })
    }

    async fn heartbeat(&self, scope: TenantScope, request: api::HeartbeatRequest) -> Result<api::HeartbeatResponse> {
        let contacts = contacts(&request)?;
        let mut response = api::HeartbeatResponse::default();
        for (beat, answer) in request.heartbeats.into_iter().zip(self.beat(&scope, contacts).await?) {
            if !answer.known {
                response.unknown_machine_ids.push(beat.machine_id);
                continue;
            }
            if answer.skew.clamped {
                response.skewed_machine_ids.push(beat.machine_id.clone());
            }
            match answer.standing {
                Standing::Holds => {}
                Standing::Contested => response.contested_machine_ids.push(beat.machine_id),
                Standing::Clone => response.cloned_machine_ids.push(beat.machine_id),
            }
        }
        Ok(response)
    }

    async fn get_machine(
        &self,
        scope: TenantScope,
        request: api::GetMachineRequest,
    ) -> Result<api::GetMachineResponse> {
        let machine = self.get(&scope, named(&request.machine_id)?).await?;
        Ok(api::GetMachineResponse { machine: Some(to_wire(machine)) })
    }

    async fn list_machines(
        &self,
        scope: TenantScope,
        mut request: api::ListMachinesRequest,
    ) -> Result<api::ListMachinesResponse> {
        let mut violations = Violations::new();
        let page = request.page.take();
        if let Some(Filter::IpAddress(by)) = &mut request.filter {
            wire::canonical(by);
        }
        let plan = query::plan(&request, &mut violations);
        bulk::check_page(page.as_ref(), &mut violations);
        violations.finish()?;
        let (machines, next_page_token) = self.list(&scope, &request, page.as_ref(), &plan).await?;
        Ok(api::ListMachinesResponse { machines: machines.into_iter().map(to_wire).collect(), next_page_token })
    }

    async fn unregister_machine(
        &self,
        scope: TenantScope,
        request: api::UnregisterMachineRequest,
    ) -> Result<api::UnregisterMachineResponse> {
        let machine = self.unregister(&scope, named(&request.machine_id)?).await?;
        Ok(api::UnregisterMachineResponse { machine: Some(to_wire(machine)) })
    }

    async fn update_machines(
        &self,
        scope: TenantScope,
        request: api::UpdateMachinesRequest,
    ) -> Result<api::UpdateMachinesResponse> {
        let changes = wire::updates(&request)?;
        let done = self.update(&scope, &changes).await?;
        Ok(api::UpdateMachinesResponse { results: bulk::results(changes.iter().map(|c| c.machine_id), done) })
    }

    async fn set_tags(&self, scope: TenantScope, request: api::SetTagsRequest) -> Result<api::SetTagsResponse> {
        let tags = wire::tags(request)?;
        let done = self.tag(&scope, &tags).await?;
        Ok(api::SetTagsResponse { results: bulk::results(tags.iter().map(|(id, _)| *id), done) })
    }

    async fn change_tags(
        &self,
        scope: TenantScope,
        request: api::ChangeTagsRequest,
    ) -> Result<api::ChangeTagsResponse> {
        let ids = wire::retagged(&request)?;
        let done = self.retag(&scope, &ids, &request.add, &request.remove).await?;
        Ok(api::ChangeTagsResponse { results: bulk::results(ids, done) })
    }

    async fn list_tags(&self, scope: TenantScope, mut request: api::ListTagsRequest) -> Result<api::ListTagsResponse> {
        let mut violations = Violations::new();
        let page = request.page.take();
        let plan = tag_count::plan(&request, &mut violations);
        bulk::check_page(page.as_ref(), &mut violations);
        violations.finish()?;
        let (tags, next_page_token) = self.tags(&scope, &request, page.as_ref(), &plan).await?;
        let tag = |row: tag_count::Model| api::TagCount { tag: row.tag, machines: row.machines.into() };
        Ok(api::ListTagsResponse { tags: tags.into_iter().map(tag).collect(), next_page_token })
    }

    async fn rename_tag(&self, scope: TenantScope, request: api::RenameTagRequest) -> Result<api::RenameTagResponse> {
        wire::check_rename(&request)?;
        let (machines, more) = self.replace_tags(&scope, &[request.tag], Some(&request.new_tag)).await?;
        Ok(api::RenameTagResponse { machines, more })
    }

    async fn delete_tags(
        &self,
        scope: TenantScope,
        request: api::DeleteTagsRequest,
    ) -> Result<api::DeleteTagsResponse> {
        wire::check_gone(&request)?;
        let (machines, more) = self.replace_tags(&scope, &request.tags, None).await?;
        Ok(api::DeleteTagsResponse { machines, more })
    }

    async fn list_os_names(
        &self,
        scope: TenantScope,
        mut request: api::ListOsNamesRequest,
    ) -> Result<api::ListOsNamesResponse> {
        let mut violations = Violations::new();
        let page = request.page.take();
        let chosen = os_name::chosen(&request, &mut violations);
        bulk::check_page(page.as_ref(), &mut violations);
        violations.finish()?;
        let (counts, next_page_token) = self.os_names(&scope, &request, page.as_ref(), &chosen).await?;
        let count = |c: os_name::Count| api::OsNameCount { os_name: c.os_name, machines: c.machines.unsigned_abs() };
        Ok(api::ListOsNamesResponse { os_names: counts.into_iter().map(count).collect(), next_page_token })
    }

    async fn list_machine_days(
        &self,
        scope: TenantScope,
        request: api::ListMachineDaysRequest,
    ) -> Result<api::ListMachineDaysResponse> {
        let days = self.days(&scope, wire::days(&request)?).await?;
        Ok(api::ListMachineDaysResponse { days: days.into_iter().map(wire::day).collect() })
    }

    async fn delete_machines(
        &self,
        scope: TenantScope,
        request: api::DeleteMachinesRequest,
    ) -> Result<api::DeleteMachinesResponse> {
        let (ids, request_id) = wire::removals(&request)?;
        let removed = self.delete(&scope, &ids, request_id, &request).await?;
        let done = |id: &Uuid| if removed.machines.contains(id) { Ok(()) } else { Err(machine_unknown(*id)) };
        let done = ids.iter().map(done).collect();
        Ok(api::DeleteMachinesResponse {
            results: bulk::results(ids, done),
            machines: removed.machines.len() as u64,
            assets: removed.assets,
        })
    }

    async fn get_machine_summary(
        &self,
        scope: TenantScope,
        _: api::GetMachineSummaryRequest,
    ) -> Result<api::GetMachineSummaryResponse> {
        let (summary, now) = self.summarize(&scope).await?;
        Ok(wire::summary(summary, now))
    }

    async fn get_machine_load(
        &self,
        scope: TenantScope,
        request: api::GetMachineLoadRequest,
    ) -> Result<api::GetMachineLoadResponse> {
        let samples = self.load(&scope, named(&request.machine_id)?).await?;
        Ok(api::GetMachineLoadResponse { samples: samples.into_iter().map(wire::sample).collect() })
    }
}

/// Reads the machine that a request names.
fn named(machine_id: &str) -> Result<Uuid> {
    let mut violations = Violations::new();
    let id = violations.uuid("machine_id", machine_id);
    violations.finish()?;
    Ok(id.unwrap_or_default())
}
