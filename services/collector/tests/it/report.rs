//! Reports, against services that only remember what they are told.

mod refused;

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::Utc;
use cwpp_chassis::client::{Channel, ClientConfig};
use cwpp_chassis::{Error, Reason};
use cwpp_collector::authlog::Zone;
use cwpp_collector::class::Class;
use cwpp_collector::machine::Load;
use cwpp_collector::report::{
    Agent, ClassReport, Heard, Identity, Intervals, MachineType, Placement, Report, ReportError, Reporter,
};
use cwpp_collector::spool::Spool;
use cwpp_collector::{Snapshot, collect};
use cwpp_contracts::incidents::v1 as incidents;
use cwpp_contracts::incidents::v1::incident_service_server::{IncidentService, IncidentServiceServer};
use cwpp_contracts::inventory::v1 as inventory;
use cwpp_contracts::inventory::v1::asset_service_server::{AssetService, AssetServiceServer};
use cwpp_contracts::inventory::v1::machine_service_server::{MachineService, MachineServiceServer};
use inventory::report_assets_request::Part;
use prost::Message;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, Streaming};

use crate::{Host, noon};

const MACHINE: &str = "01890a5d-ac96-774b-bcce-b302099a8057";
const OTHER: &str = "01890a5d-ac96-774b-bcce-b302099a8058";

/// What the services were told.
#[derive(Default)]
struct Memory {
    registered: Vec<inventory::RegisterMachineRequest>,
    unregistered: Vec<inventory::UnregisterMachineRequest>,
    digests: HashSet<(i32, Vec<u8>)>,
    disabled: HashSet<i32>,
    /// How often a class is wanted, and the classes of each negotiation: those that were asked about before they were
    /// read, and those that were read.
    intervals: HashMap<i32, Duration>,
    asked: Vec<Vec<i32>>,
    offered: Vec<Vec<i32>>,
    unread: Vec<inventory::UnreadClass>,
    items: Vec<inventory::AssetItem>,
    reports: usize,
    stale: usize,
    /// Why the next negotiations are refused, one after the other.
    refusals: VecDeque<Reason>,
    /// Classes of which the content is wrong, and such as nobody knows.
    refused: HashMap<i32, Reason>,
    unknown: HashSet<i32>,
    headers: Vec<Vec<inventory::ClassDigest>>,
    deleted: bool,
    /// The host is a clone: its sign of life is answered so, and its enrolment gives this.
    clone: Option<Vec<u8>>,
    contested: bool,
    events: Vec<(String, u64, incidents::AuthEvent)>,
    spool: String,
    next: u64,
}

#[derive(Clone)]
struct Services(Arc<Mutex<Memory>>);

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl MachineService for Services {
    async fn register_machine(
        &self,
        request: Request<inventory::RegisterMachineRequest>,
    ) -> Answer<inventory::RegisterMachineResponse> {
        let mut memory = self.0.lock().unwrap();
        let request = request.into_inner();
        let distinct_id = memory.clone.clone().unwrap_or_else(|| request.distinct_id.clone());
        memory.registered.push(request);
        let machine_id = if distinct_id.is_empty() { MACHINE } else { OTHER };
        let machine = inventory::Machine { machine_id: machine_id.to_owned(), ..Default::default() };
        let (created, contested) = (memory.registered.len() == 1, memory.contested);
        let machine = Some(machine);
        Ok(Response::new(inventory::RegisterMachineResponse { machine, created, distinct_id, contested }))
    }

    async fn heartbeat(&self, request: Request<inventory::HeartbeatRequest>) -> Answer<inventory::HeartbeatResponse> {
        let ids: Vec<_> = request.into_inner().heartbeats.into_iter().map(|heartbeat| heartbeat.machine_id).collect();
        let memory = self.0.lock().unwrap();
        let when = |is: bool| if is { ids.clone() } else { Vec::new() };
        Ok(Response::new(inventory::HeartbeatResponse {
            unknown_machine_ids: when(memory.deleted),
            cloned_machine_ids: if memory.clone.is_some() { vec![MACHINE.to_owned()] } else { Vec::new() },
            contested_machine_ids: when(memory.contested),
            ..Default::default()
        }))
    }

    async fn change_tags(&self, _: Request<inventory::ChangeTagsRequest>) -> Answer<inventory::ChangeTagsResponse> {
        Err(Status::unimplemented(""))
    }

    async fn rename_tag(&self, _: Request<inventory::RenameTagRequest>) -> Answer<inventory::RenameTagResponse> {
        Err(Status::unimplemented(""))
    }

    async fn delete_tags(&self, _: Request<inventory::DeleteTagsRequest>) -> Answer<inventory::DeleteTagsResponse> {
        Err(Status::unimplemented(""))
    }

    async fn list_os_names(&self, _: Request<inventory::ListOsNamesRequest>) -> Answer<inventory::ListOsNamesResponse> {
        Err(Status::unimplemented(""))
    }

    async fn list_tags(&self, _: Request<inventory::ListTagsRequest>) -> Answer<inventory::ListTagsResponse> {
        Err(Status::unimplemented(""))
    }

    async fn list_machine_days(
        &self,
        _: Request<inventory::ListMachineDaysRequest>,
    ) -> Answer<inventory::ListMachineDaysResponse> {
        Err(Status::unimplemented(""))
    }

    async fn get_machine(&self, _: Request<inventory::GetMachineRequest>) -> Answer<inventory::GetMachineResponse> {
        Err(Status::unimplemented(""))
    }

    async fn list_machines(
        &self,
        _: Request<inventory::ListMachinesRequest>,
    ) -> Answer<inventory::ListMachinesResponse> {
        Err(Status::unimplemented(""))
    }

    async fn unregister_machine(
        &self,
        request: Request<inventory::UnregisterMachineRequest>,
    ) -> Answer<inventory::UnregisterMachineResponse> {
        self.0.lock().unwrap().unregistered.push(request.into_inner());
        Ok(Response::new(inventory::UnregisterMachineResponse::default()))
    }

    async fn update_machines(
        &self,
        _: Request<inventory::UpdateMachinesRequest>,
    ) -> Answer<inventory::UpdateMachinesResponse> {
        Err(Status::unimplemented(""))
    }

    async fn set_tags(&self, _: Request<inventory::SetTagsRequest>) -> Answer<inventory::SetTagsResponse> {
        Err(Status::unimplemented(""))
    }

    async fn delete_machines(
        &self,
        _: Request<inventory::DeleteMachinesRequest>,
    ) -> Answer<inventory::DeleteMachinesResponse> {
        Err(Status::unimplemented(""))
    }

    async fn get_machine_summary(
        &self,
        _: Request<inventory::GetMachineSummaryRequest>,
    ) -> Answer<inventory::GetMachineSummaryResponse> {
        Err(Status::unimplemented(""))
    }

    async fn get_machine_load(
        &self,
        _: Request<inventory::GetMachineLoadRequest>,
    ) -> Answer<inventory::GetMachineLoadResponse> {
        Err(Status::unimplemented(""))
    }
}

/// As the real service does.
fn check(classes: &[inventory::ClassDigest]) -> Result<(), Error> {
    let items: u32 = classes.iter().map(|class| class.items).sum();
    let are_cut = classes.iter().all(|class| class.found == 0 || class.found > class.items);
    let are_right = are_cut && items <= 100_000 && classes.iter().all(|class| class.items <= 30_000);
    if are_right { Ok(()) } else { Err(Error::new(Reason::InvalidField, "too many items")) }
}

#[tonic::async_trait]
impl AssetService for Services {
    async fn negotiate_report(
        &self,
        request: Request<inventory::NegotiateReportRequest>,
    ) -> Answer<inventory::NegotiateReportResponse> {
        let mut memory = self.0.lock().unwrap();
        if let Some(reason) = memory.refusals.pop_front() {
            return Err(Error::new(reason, "not now").retry_after(Duration::from_millis(1)).into());
        }
        let request = request.into_inner();
        let unread = request.unread.iter().map(|unread| unread.asset_class);
        let mut named = request.classes.iter().map(|class| class.asset_class).chain(unread);
        if named.any(|class| memory.unknown.contains(&class)) {
            return Err(Error::new(Reason::InvalidField, "unknown").into());
        }
        check(&request.classes)?;
        let decide = |class: inventory::ClassDigest| {
            let decision = if memory.disabled.contains(&class.asset_class) {
                inventory::Decision::Disabled
            } else if memory.digests.contains(&(class.asset_class, class.digest)) {
                inventory::Decision::Unchanged
            } else {
                inventory::Decision::Send
            };
            // As the real one: nobody waits for a class that is off.
            let told = memory.intervals.get(&class.asset_class).filter(|_| decision != inventory::Decision::Disabled);
            let interval = told.map(|every| prost_types::Duration {
                seconds: every.as_secs().cast_signed(),
                nanos: every.subsec_nanos().cast_signed(),
            });
            inventory::ClassDecision { asset_class: class.asset_class, decision: decision.into(), interval }
        };
        let inventory::NegotiateReportRequest { classes, unread, .. } = request;
        let (asked, offered): (Vec<_>, Vec<_>) = classes.iter().partition(|class| class.digest.is_empty());
        let numbers = |of: Vec<&inventory::ClassDigest>| of.iter().map(|class| class.asset_class).collect::<Vec<_>>();
        let (asked, offered) = (numbers(asked), numbers(offered));
        let decisions = classes.into_iter().map(decide).collect();
        memory.asked.extend(Some(asked).filter(|asked| !asked.is_empty()));
        memory.offered.extend(Some(offered).filter(|offered| !offered.is_empty()));
        memory.unread.extend(unread);
        let report_token = "token".to_owned();
        Ok(Response::new(inventory::NegotiateReportResponse { report_token, decisions, ..Default::default() }))
    }

    async fn report_assets(
        &self,
        request: Request<Streaming<inventory::ReportAssetsRequest>>,
    ) -> Answer<inventory::ReportAssetsResponse> {
        let mut stream = request.into_inner();
        let (mut header, mut items, mut bytes, mut ended) = (None, Vec::new(), 0, false);
        while let Some(message) = stream.message().await? {
            assert!(!ended);
            let length = message.encoded_len() as u64;
            match message.part.unwrap() {
                Part::Header(first) => assert!(header.replace(first).is_none()),
                Part::Chunk(chunk) => {
                    assert!(length < 1 << 20 && chunk.items.len() <= 5_000);
                    bytes += length;
                    items.extend(chunk.items);
                }
                Part::End(_) => ended = true,
            }
        }
        let mut memory = self.0.lock().unwrap();
        if memory.stale > 0 {
            memory.stale -= 1;
            return Err(Error::new(Reason::ReportTokenStale, "stale").into());
        }
        let header = header.unwrap();
        check(&header.classes)?;
        if let Some(reason) = header.classes.iter().find_map(|class| memory.refused.get(&class.asset_class)) {
            return Err(Error::new(*reason, "it is wrong").into());
        }
        memory.headers.push(header.classes.clone());
        assert!(header.declared_bytes <= 64 << 20);
        assert!(ended && header.report_token == "token" && header.declared_bytes == bytes);
        let declared: usize = header.classes.iter().map(|class| class.items as usize).sum();
        assert_eq!(declared, items.len());
        memory.reports += 1;
        memory.items = items;
        let result = |class: inventory::ClassDigest| {
            memory.digests.insert((class.asset_class, class.digest));
            let truncated = class.found > 0;
            inventory::ClassResult {
                asset_class: class.asset_class,
                added: class.items,
                truncated,
                ..Default::default()
            }
        };
        let results = header.classes.into_iter().map(result).collect();
        Ok(Response::new(inventory::ReportAssetsResponse { results, ..Default::default() }))
    }

    async fn list_assets(&self, _: Request<inventory::ListAssetsRequest>) -> Answer<inventory::ListAssetsResponse> {
        Err(Status::unimplemented(""))
    }

    async fn list_asset_counts(
        &self,
        _: Request<inventory::ListAssetCountsRequest>,
    ) -> Answer<inventory::ListAssetCountsResponse> {
        Err(Status::unimplemented(""))
    }

    async fn list_unread_classes(
        &self,
        _: Request<inventory::ListUnreadClassesRequest>,
    ) -> Answer<inventory::ListUnreadClassesResponse> {
        Err(Status::unimplemented(""))
    }

    async fn list_top_values(
        &self,
        _: Request<inventory::ListTopValuesRequest>,
    ) -> Answer<inventory::ListTopValuesResponse> {
        Err(Status::unimplemented(""))
    }

    async fn check_asset_counts(
        &self,
        _: Request<inventory::CheckAssetCountsRequest>,
    ) -> Answer<inventory::CheckAssetCountsResponse> {
        Err(Status::unimplemented(""))
    }

    async fn delete_assets(
        &self,
        _: Request<inventory::DeleteAssetsRequest>,
    ) -> Answer<inventory::DeleteAssetsResponse> {
        Err(Status::unimplemented(""))
    }

    async fn list_account_changes(
        &self,
        _: Request<inventory::ListAccountChangesRequest>,
    ) -> Answer<inventory::ListAccountChangesResponse> {
        Err(Status::unimplemented(""))
    }

    type ExportAssetsStream = tokio_stream::Empty<Result<inventory::ExportAssetsResponse, Status>>;

    async fn export_assets(&self, _: Request<inventory::ExportAssetsRequest>) -> Answer<Self::ExportAssetsStream> {
        Err(Status::unimplemented(""))
    }

    type WatchMachinesStream = tokio_stream::Empty<Result<inventory::WatchMachinesResponse, Status>>;

    async fn watch_machines(&self, _: Request<inventory::WatchMachinesRequest>) -> Answer<Self::WatchMachinesStream> {
        Err(Status::unimplemented(""))
    }

    type WatchPackagesStream = tokio_stream::Empty<Result<inventory::WatchPackagesResponse, Status>>;

    async fn watch_packages(&self, _: Request<inventory::WatchPackagesRequest>) -> Answer<Self::WatchPackagesStream> {
        Err(Status::unimplemented(""))
    }
}

#[tonic::async_trait]
impl IncidentService for Services {
    async fn report_auth_events(
        &self,
        request: Request<incidents::ReportAuthEventsRequest>,
    ) -> Answer<incidents::ReportAuthEventsResponse> {
        let request = request.into_inner();
        let mut memory = self.0.lock().unwrap();
        if memory.spool != request.spool_id {
            (memory.spool, memory.next) = (request.spool_id.clone(), 1);
        }
        if request.first_sequence > memory.next {
            let gap = Error::new(Reason::SpoolGap, "events are missing").with("next_sequence", memory.next);
            return Err(gap.into());
        }
        let mut taken = 0;
        for (event, sequence) in request.events.into_iter().zip(request.first_sequence..) {
            if sequence == memory.next {
                memory.events.push((request.spool_id.clone(), sequence, event));
                memory.next += 1;
                taken += 1;
            }
        }
        let next_sequence = memory.next;
        Ok(Response::new(incidents::ReportAuthEventsResponse { next_sequence, taken, incident_ids: Vec::new() }))
    }

    async fn list_incidents(
        &self,
        _: Request<incidents::ListIncidentsRequest>,
    ) -> Answer<incidents::ListIncidentsResponse> {
        Err(Status::unimplemented(""))
    }

    async fn get_incident(&self, _: Request<incidents::GetIncidentRequest>) -> Answer<incidents::GetIncidentResponse> {
        Err(Status::unimplemented(""))
    }

    async fn update_incidents(
        &self,
        _: Request<incidents::UpdateIncidentsRequest>,
    ) -> Answer<incidents::UpdateIncidentsResponse> {
        Err(Status::unimplemented(""))
    }
}

/// Starts the services and gives what they remember and a reporter to them.
async fn start() -> (Services, Reporter) {
    let (services, reporter, _) = serve().await;
    (services, reporter)
}

async fn serve() -> (Services, Reporter, Channel) {
    let services = Services(Arc::default());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let server = tonic::transport::Server::builder()
        .add_service(MachineServiceServer::new(services.clone()))
        .add_service(AssetServiceServer::new(services.clone()))
        .add_service(IncidentServiceServer::new(services.clone()));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    let channel = Channel::connect_lazy(&format!("http://{address}"), &ClientConfig::default()).unwrap();
    let channel = channel.with_descriptor(cwpp_contracts::FILE_DESCRIPTOR_SET).unwrap();
    (services, Reporter::new(7, None, channel.clone(), channel.clone()), channel)
}

fn host(accounts: usize) -> Host {
    let passwd: String = (0..accounts).map(|n| format!("u{n:05}:x:{n}:1:{}:/:/bin/sh\n", "c".repeat(200))).collect();
    Host::new()
        .with("etc/passwd", passwd)
        .with("etc/hostname", "web-1")
        .with("etc/machine-id", "0123456789abcdef0123456789abcdef")
}

fn snapshot(host: &Host) -> Snapshot {
    collect(&host.root(), noon())
}

fn of(report: &Report, class: Class) -> &ClassReport {
    &report.classes.iter().find(|(of, _)| *of == class).unwrap().1
}

#[tokio::test]
async fn a_class_that_was_not_read_is_never_sent_and_an_equal_one_only_once() {
    let (services, mut reporter) = start().await;
    let snapshot = snapshot(&host(3));
    assert!(matches!(reporter.report(&snapshot).await, Err(ReportError::NotRegistered)));
    let registered = reporter.register(&snapshot).await.unwrap();
    assert_eq!((registered.machine_id.as_str(), registered.created), (MACHINE, true));
    let request = services.0.lock().unwrap().registered[0].clone();
    assert_eq!((request.app_id, request.host_id_hash.len(), request.instance_nonce.len()), (7, 32, 16));
    assert_eq!(request.facts.unwrap().name, "web-1");

    let first = reporter.report(&snapshot).await.unwrap();
    assert_eq!(first.written(), 3);
    assert!(matches!(of(&first, Class::Account), ClassReport::Sent { added: 3, truncated: false, .. }));
    assert!(matches!(of(&first, Class::SystemPackage), ClassReport::NotRead { .. }));
    let second = reporter.report(&snapshot).await.unwrap();
    assert_eq!((second.written(), of(&second, Class::Account)), (0, &ClassReport::Unchanged));
    assert_eq!(services.0.lock().unwrap().reports, 1);
}

#[tokio::test]
async fn who_starts_the_agent_may_say_where_the_machine_runs() {
    let (services, mut reporter) = start().await;
    let data = r#"{"ds":{"meta_data":{"public-ipv4":"203.0.113.7"}},"v1":{"cloud_name":"aws","instance_id":"i-0abc","region":"eu-west-1"}}"#;
    let snapshot = snapshot(&host(1).with("run/cloud-init/instance-data.json", data));
    reporter.register(&snapshot).await.unwrap();
    let public_address = Some("2001:db8::7".parse().unwrap());
    let placement = Placement { region: Some("ap-guangzhou".repeat(9)), public_address, ..Placement::default() };
    reporter.placed(placement).register(&snapshot).await.unwrap();
    let memory = services.0.lock().unwrap();
    let told = memory.registered.iter().map(|request| request.facts.clone().unwrap());
    let told: Vec<_> =
        told.map(|facts| (facts.provider, facts.instance_id, facts.region, facts.public_ip_address)).collect();
    let expected =
        [("eu-west-1".to_owned(), "203.0.113.7"), ("ap-guangzhou".repeat(9)[..63].to_owned(), "2001:db8::7")];
    let expected =
        expected.map(|(region, address)| ("aws".to_owned(), "i-0abc".to_owned(), region, address.to_owned()));
    assert_eq!(told, expected);
}

#[tokio::test]
async fn who_starts_the_agent_may_say_what_the_machine_is() {
    let (services, reporter) = start().await;
    let host = host(1);
    let unknown = snapshot(&host);
    let data = r#"{"v1":{"cloud_name":"aws","instance_id":"i-0abc","region":"eu-west-1"}}"#;
    let known = snapshot(&host.with("run/cloud-init/instance-data.json", data));
    let tencent = Some("Tencent".to_owned());
    use inventory::MachineType::{BareMetal, CloudVm, Edge, Lighthouse, Other};
    for (snapshot, told, provider, expected) in [
        (&unknown, None, None, (Other, "")),
        (&unknown, None, tencent.clone(), (CloudVm, "tencent")),
        (&unknown, Some(MachineType::Edge), None, (Edge, "")),
        (&unknown, Some(MachineType::Vm), None, (CloudVm, "")),
        (&known, None, None, (CloudVm, "aws")),
        (&known, Some(MachineType::BareMetal), None, (BareMetal, "aws")),
        (&known, Some(MachineType::Lighthouse), tencent, (Lighthouse, "tencent")),
        (&known, Some(MachineType::Other), Some(String::new()), (Other, "aws")),
    ] {
        let placement = Placement { machine_type: told, provider, ..Placement::default() };
        reporter.clone().placed(placement).register(snapshot).await.unwrap();
        let facts = services.0.lock().unwrap().registered.last().unwrap().facts.clone().unwrap();
        assert_eq!((facts.machine_type(), facts.provider.as_str()), expected);
    }
}

#[derive(Debug, clap::Parser)]
struct Started {
    #[command(flatten)]
    args: cwpp_collector::command::ReportArgs,
}

#[test]
fn the_kind_of_a_machine_is_told_by_its_name_and_what_is_empty_is_not_told() {
    let with = |flag: &str, value: &str| {
        <Started as clap::Parser>::try_parse_from(["report", "--app-id", "7", "--provider", "aws", flag, value])
    };
    let parse = |kind: &str| with("--machine-type", kind).map(|started| started.args.machine_type.unwrap().0);
    let kinds = ["vm", "bare-metal", "edge", "lighthouse", "other"].map(|kind| parse(kind).unwrap().unwrap());
    use MachineType::{BareMetal, Edge, Lighthouse, Other, Vm};
    assert_eq!(kinds, [Vm, BareMetal, Edge, Lighthouse, Other]);
    assert!(parse("mainframe").is_err());
    let parse = |address: &str| with("--public-address", address).map(|started| started.args.public_address.unwrap().0);
    assert_eq!(parse("2001:db8::1").unwrap(), Some("2001:db8::1".parse().unwrap()));
    // As an environment's are that nobody filled.
    assert_eq!((parse("").unwrap(), with("--machine-type", "").unwrap().args.machine_type.unwrap().0), (None, None));
    assert!(parse("web-1").is_err());
}

#[tokio::test]
async fn the_server_hears_what_could_not_be_read() {
    let (services, mut reporter) = start().await;
    let host =
        Host::new().with("etc/passwd/none", "").with("etc/hostname", "web-1").with("etc/machine-id", "0".repeat(32));
    let snapshot = snapshot(&host);
    reporter.register(&snapshot).await.unwrap();
    let report = reporter.report(&snapshot).await.unwrap();
    let ClassReport::NotRead { reason } = of(&report, Class::Account) else { panic!("{report:?}") };
    let memory = services.0.lock().unwrap();
    let account = inventory::AssetClass::Account;
    let told = memory.unread.iter().find(|unread| unread.asset_class() == account).unwrap();
    assert_eq!((told.left_out, told.cut), (0, 0));
    assert!(told.reason == *reason && reason.contains("passwd"), "{told:?}");
    assert!(!memory.offered[0].contains(&account.into()));
    // Nor does a class of which the host has no source look empty.
    let module = inventory::AssetClass::KernelModule;
    let told = memory.unread.iter().find(|unread| unread.asset_class() == module).unwrap();
    assert!(told.reason.contains("/proc/modules") && !memory.offered[0].contains(&module.into()), "{told:?}");
}

/// How often all other classes are wanted, in tests of one or two.
const HOUR: Duration = Duration::from_secs(3_600);

/// Leaves these classes to the agent's interval, and wants all others hourly.
fn often(services: &Services, classes: &[i32]) {
    let all = (1..=16).filter(|class| !classes.contains(class));
    services.0.lock().unwrap().intervals.extend(all.map(|class| (class, HOUR)));
}

/// An agent of the host whose signs of life are 100 ms apart and whose reports 300 ms.
fn busy(host: &Host, reporter: Reporter) -> Agent {
    let (heartbeat, report) = (Duration::from_millis(100), Duration::from_millis(300));
    Agent::new(host.root(), reporter, None, Intervals { heartbeat, report, events: HOUR })
}

async fn run(agent: &mut Agent, milliseconds: u64) {
    let _ = tokio::time::timeout(Duration::from_millis(milliseconds), agent.run()).await;
}

#[tokio::test]
async fn a_class_that_is_off_is_not_read_until_it_is_on_again() {
    let (services, reporter) = start().await;
    let [account, module] = [inventory::AssetClass::Account, inventory::AssetClass::KernelModule].map(i32::from);
    // Its modules cannot be read, which nobody asks for.
    let host = host(3);
    often(&services, &[account, module]);
    services.0.lock().unwrap().disabled.extend([account, module]);
    let mut agent = busy(&host, reporter);
    run(&mut agent, 2_000).await;
    {
        let mut memory = services.0.lock().unwrap();
        assert_eq!(memory.asked[0].len(), Class::ALL.len(), "{:?}", memory.asked);
        assert!(memory.asked.len() > 2 && memory.asked[1..].iter().all(|asked| *asked == [account, module]));
        assert!(memory.offered.len() == 1 && !memory.offered[0].contains(&account), "{:?}", memory.offered);
        assert!(memory.unread.iter().all(|unread| ![account, module].contains(&unread.asset_class)));
        assert_eq!(memory.reports, 1);
        memory.asked.clear();
        memory.disabled.remove(&account);
    }
    run(&mut agent, 1_000).await;
    let memory = services.0.lock().unwrap();
    assert!(memory.reports == 2 && memory.offered[1..].iter().all(|classes| *classes == [account]));
    assert!(memory.asked[1..].iter().all(|asked| *asked == [module]), "{:?}", memory.asked);
}

#[tokio::test]
async fn a_class_that_cannot_be_read_is_not_told_of_any_more_when_it_is_switched_off() {
    let (services, reporter) = start().await;
    let module = inventory::AssetClass::KernelModule.into();
    often(&services, &[module]);
    let (host, said) = (host(3), || {
        let memory = services.0.lock().unwrap();
        memory.unread.iter().filter(|unread| unread.asset_class == module).count()
    });
    let mut agent = busy(&host, reporter);
    run(&mut agent, 2_000).await;
    let before = said();
    assert!(before > 1, "{before}");
    services.0.lock().unwrap().disabled.insert(module);
    run(&mut agent, 1_000).await;
    assert_eq!(said(), before);
    // Nor is any other that cannot be read asked about before the time that only the answer to the question told.
    let memory = services.0.lock().unwrap();
    assert!(memory.asked[1..].iter().all(|asked| *asked == [module]), "{:?}", memory.asked);
}

#[tokio::test]
async fn a_question_that_a_busy_server_refuses_is_asked_again() {
    let (services, reporter) = start().await;
    services.0.lock().unwrap().refusals.extend([Reason::Conflict, Reason::Overloaded]);
    busy(&host(3), reporter).once().await.unwrap();
    let memory = services.0.lock().unwrap();
    assert!(memory.refusals.is_empty() && memory.asked.len() == 1 && memory.reports == 1);
}

#[tokio::test]
async fn a_machine_that_comes_back_is_soon_reported_whatever_fails_at_first() {
    let (services, reporter) = start().await;
    often(&services, &[]);
    let host = host(3);
    let mut agent = busy(&host, reporter);
    run(&mut agent, 2_000).await;
    {
        let mut memory = services.0.lock().unwrap();
        assert_eq!(memory.reports, 1);
        memory.digests.clear();
        memory.deleted = true;
        // As often as one question is asked.
        memory.refusals.extend([Reason::Conflict; 3]);
    }
    // Its own time for the next report is in an hour: only the failure brings it forward.
    let forget = async {
        while !services.0.lock().unwrap().refusals.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        services.0.lock().unwrap().deleted = false;
    };
    let both = async { tokio::join!(forget, agent.run()) };
    let _ = tokio::time::timeout(Duration::from_secs(3), both).await;
    assert_eq!(services.0.lock().unwrap().reports, 2);
}

#[tokio::test]
async fn a_class_is_offered_as_often_as_the_tenant_wants() {
    let (services, reporter) = start().await;
    let account = inventory::AssetClass::Account.into();
    services.0.lock().unwrap().intervals.insert(account, Duration::from_millis(300));
    let host = host(3);
    let often = Duration::from_millis(100);
    let intervals =
        Intervals { heartbeat: often, report: Duration::from_secs(3_600), events: Duration::from_secs(3_600) };
    let mut agent = Agent::new(host.root(), reporter, None, intervals);
    let _ = tokio::time::timeout(Duration::from_secs(2), agent.run()).await;
    let offered = services.0.lock().unwrap().offered.clone();
    assert!(offered[0].len() > 1 && offered[0].contains(&account), "{offered:?}");
    assert!((3..=8).contains(&offered.len()), "{offered:?}");
    assert!(offered[1..].iter().all(|classes| *classes == [account]), "{offered:?}");
}

/// The last logins that come with the registrations of an agent whose later reports are of one class only.
async fn logins(accounts_off: bool) -> Vec<Option<i64>> {
    let (services, reporter) = start().await;
    let [account, jar] = [inventory::AssetClass::Account, inventory::AssetClass::JarPackage].map(i32::from);
    services.0.lock().unwrap().intervals.insert(jar, Duration::from_millis(300));
    services.0.lock().unwrap().disabled.extend(accounts_off.then_some(account));
    let mut lastlog = vec![0_u8; 292];
    lastlog[..4].copy_from_slice(&1_700_000_000_u32.to_ne_bytes());
    let host = host(3).with("var/log/lastlog", lastlog);
    let (often, hour) = (Duration::from_millis(100), Duration::from_secs(3_600));
    let mut agent = Agent::new(host.root(), reporter, None, Intervals { heartbeat: often, report: hour, events: hour });
    let _ = tokio::time::timeout(Duration::from_secs(2), agent.run()).await;
    let memory = services.0.lock().unwrap();
    let later = &memory.offered[1..];
    assert!(later.len() > 1 && later.iter().all(|classes| *classes == [jar]), "{:?}", memory.offered);
    let told = memory.registered.iter().map(|request| request.facts.as_ref().unwrap().last_user_login_time);
    told.map(|time| time.map(|time| time.seconds)).collect()
}

#[tokio::test]
async fn the_last_login_is_told_with_every_registration_unless_accounts_are_off() {
    let told = logins(false).await;
    assert!(told.iter().all(|time| *time == Some(1_700_000_000)), "{told:?}");
    let told = logins(true).await;
    assert!(told[1..].iter().all(Option::is_none), "{told:?}");
}

#[tokio::test]
async fn every_item_of_this_host_becomes_a_message_of_its_class() {
    let (services, mut reporter) = start().await;
    let snapshot = collect(&cwpp_collector::Root::default(), noon());
    reporter.register(&snapshot).await.unwrap();
    let report = reporter.report(&snapshot).await.unwrap();
    for class in &snapshot.classes {
        match of(&report, class.class) {
            ClassReport::Sent { added, truncated: false, .. } => assert_eq!(*added as usize, class.items.len()),
            ClassReport::NotRead { .. } => assert!(class.items.is_empty()),
            other => panic!("{:?}: {other:?}", class.class),
        }
    }
    assert!(matches!(of(&report, Class::Process), ClassReport::Sent { added: 1.., .. }));
    assert!(matches!(of(&report, Class::Resource), ClassReport::Sent { added: 1.., .. }));
    let all: usize = snapshot.classes.iter().map(|class| class.items.len()).sum();
    assert_eq!(services.0.lock().unwrap().items.len(), all);
}

#[tokio::test]
async fn a_large_class_goes_in_chunks_and_says_when_it_is_cut() {
    let (services, mut reporter) = start().await;
    let snapshot = snapshot(&host(30_005));
    reporter.register(&snapshot).await.unwrap();
    let report = reporter.report(&snapshot).await.unwrap();
    assert!(matches!(of(&report, Class::Account), ClassReport::Sent { added: 30_000, truncated: true, .. }));
    assert_eq!(services.0.lock().unwrap().items.len(), 30_000);
}

#[tokio::test]
async fn a_stale_token_is_negotiated_anew_and_a_class_that_is_off_stays_here() {
    let (services, mut reporter) = start().await;
    let snapshot = snapshot(&host(1));
    reporter.register(&snapshot).await.unwrap();
    services.0.lock().unwrap().stale = 2;
    assert_eq!(reporter.report(&snapshot).await.unwrap().written(), 1);
    services.0.lock().unwrap().digests.clear();
    services.0.lock().unwrap().stale = 3;
    let refused = reporter.report(&snapshot).await.unwrap_err();
    assert_eq!(refused.reason(), Some(Reason::ReportTokenStale));
    services.0.lock().unwrap().disabled.insert(inventory::AssetClass::Account.into());
    let report = reporter.report(&snapshot).await.unwrap();
    assert_eq!(of(&report, Class::Account), &ClassReport::Disabled);
}

#[tokio::test]
async fn a_machine_that_was_deleted_learns_it_from_its_heartbeat() {
    let (services, mut reporter) = start().await;
    reporter.register(&snapshot(&host(1))).await.unwrap();
    assert_eq!(reporter.heartbeat(&Load::default(), noon()).await.unwrap(), Heard::Well);
    services.0.lock().unwrap().deleted = true;
    assert_eq!(reporter.heartbeat(&Load::default(), noon()).await.unwrap(), Heard::Lost);
}

#[tokio::test]
async fn a_clone_keeps_what_it_was_given_over_its_restarts() {
    let (services, mut reporter, channel) = serve().await;
    let (host, folder) = (host(1), tempfile::tempdir().unwrap());
    let keep = |reporter: Reporter| reporter.keeping(Identity::open(folder.path().join("state")).unwrap());
    let snapshot = snapshot(&host);
    reporter = keep(reporter);
    reporter.register(&snapshot).await.unwrap();
    services.0.lock().unwrap().clone = Some(vec![7; 16]);
    assert_eq!(reporter.heartbeat(&Load::default(), noon()).await.unwrap(), Heard::Lost);
    assert_eq!(reporter.register(&snapshot).await.unwrap().machine_id, OTHER);
    services.0.lock().unwrap().clone = None;

    let mut anew = keep(Reporter::new(7, None, channel.clone(), channel));
    assert_eq!(anew.register(&snapshot).await.unwrap().machine_id, OTHER);
    let registered = services.0.lock().unwrap().registered.clone();
    let told: Vec<&[u8]> = registered.iter().map(|r| r.distinct_id.as_slice()).collect();
    assert_eq!(told, [&[][..], &[], &[7; 16]]);
    assert_ne!(registered[1].instance_nonce, registered[2].instance_nonce);
    assert_eq!(registered[1].boot_id_hash, registered[2].boot_id_hash);
    assert_eq!(registered[0].boot_id_hash.len(), 32);

    let file = folder.path().join("state/identity.json");
    for text in ["{", r#"{"version":99,"distinct_ids":{},"machine_ids":{}}"#] {
        std::fs::write(&file, text).unwrap();
        let Err(ReportError::State(error)) = anew.register(&snapshot).await else {
            panic!("a clone never forgets that it is one");
        };
        assert!(error.to_string().contains("state/identity.json is damaged"), "{error}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), text, "it is left as it was");
    }
}

#[tokio::test]
async fn nothing_is_reported_for_a_machine_that_another_agent_speaks_for() {
    let (services, mut reporter) = start().await;
    let snapshot = snapshot(&host(1));
    services.0.lock().unwrap().contested = true;
    assert!(reporter.register(&snapshot).await.unwrap().contested);
    assert!(matches!(reporter.report(&snapshot).await, Err(ReportError::Contested)));
    assert_eq!(reporter.heartbeat(&Load::default(), noon()).await.unwrap(), Heard::Contested);
    services.0.lock().unwrap().contested = false;
    assert_eq!(reporter.heartbeat(&Load::default(), noon()).await.unwrap(), Heard::Well);
    assert_eq!(reporter.report(&snapshot).await.unwrap().written(), 1);
}

#[tokio::test]
async fn an_agent_tells_when_it_was_installed_over_its_restarts() {
    let (services, mut reporter, channel) = serve().await;
    let (host, folder) = (host(1), tempfile::tempdir().unwrap());
    let snapshot = snapshot(&host);
    reporter.register(&snapshot).await.unwrap();
    let before = Utc::now().timestamp();
    for _ in 0..2 {
        let mut anew = Reporter::new(7, None, channel.clone(), channel.clone());
        anew = anew.keeping(Identity::open(folder.path()).unwrap());
        anew.register(&snapshot).await.unwrap();
    }
    let registered = services.0.lock().unwrap().registered.clone();
    let told: Vec<_> = registered.into_iter().map(|request| request.facts.unwrap().agent_install_time).collect();
    assert_eq!((told[0], told[1]), (None, told[2]), "without a folder it is unknown");
    assert!((before..=Utc::now().timestamp()).contains(&told[1].unwrap().seconds));
}

#[tokio::test]
async fn an_agent_that_is_taken_away_says_so_of_its_own_machine_only() {
    let (services, reporter, channel) = serve().await;
    let folder = tempfile::tempdir().unwrap();
    let keep = |reporter: Reporter| reporter.keeping(Identity::open(folder.path()).unwrap());
    let anew = || keep(Reporter::new(7, None, channel.clone(), channel.clone()));
    assert!(matches!(anew().unregister().await, Err(ReportError::NotRegistered)));
    let snapshot = snapshot(&host(1));
    let mut reporter = keep(reporter);
    reporter.register(&snapshot).await.unwrap();
    anew().unregister().await.unwrap();
    let told = services.0.lock().unwrap().unregistered.clone();
    assert_eq!(told, [inventory::UnregisterMachineRequest { app_id: 7, machine_id: MACHINE.to_owned() }]);
    // A host that may be a clone does not speak for the machine.
    services.0.lock().unwrap().contested = true;
    reporter.register(&snapshot).await.unwrap();
    assert!(matches!(anew().unregister().await, Err(ReportError::NotRegistered)));
}

fn log(ports: std::ops::Range<u16>) -> String {
    ports
        .map(|port| {
            format!("Nov 24 07:00:00 host sshd[{port}]: Failed password for root from 192.0.2.4 port {port} ssh2\n")
        })
        .collect()
}

fn ports(services: &Services) -> Vec<u32> {
    services.0.lock().unwrap().events.iter().map(|(_, _, event)| event.source_port).collect()
}

#[tokio::test]
async fn each_event_arrives_once_whatever_the_two_sides_forget() {
    let (services, mut reporter) = start().await;
    let host = host(1).with("auth.log", log(1..1_203));
    reporter.register(&snapshot(&host)).await.unwrap();
    let mut spool = Spool::open(host.path().join("spool"), host.path().join("auth.log"), Zone::Local).unwrap();
    spool.ingest(noon()).unwrap();
    let sent = reporter.send_events(&mut spool).await.unwrap();
    assert_eq!((sent.events, sent.taken), (1_202, 1_202));
    assert_eq!(ports(&services), (1..1_203).collect::<Vec<u32>>());
    assert_eq!(reporter.send_events(&mut spool).await.unwrap().events, 0);

    // The server was set back: it asks for what it misses.
    let more = host.with("auth.log", log(1..1_204));
    spool.ingest(noon()).unwrap();
    services.0.lock().unwrap().next = 1_201;
    let sent = reporter.send_events(&mut spool).await.unwrap();
    assert_eq!(sent.taken, 3);
    assert_eq!(spool.acknowledged(), 1_203);

    // The server knows more than this spool: a new numbering begins.
    let id = spool.id();
    let _more = more.with("auth.log", log(1..1_205));
    spool.ingest(noon()).unwrap();
    services.0.lock().unwrap().next = 9_000;
    assert_eq!(reporter.send_events(&mut spool).await.unwrap().taken, 1);
    assert_ne!(spool.id(), id);
    assert_eq!(ports(&services).last(), Some(&1_204));
}

#[tokio::test]
async fn a_log_that_cannot_be_read_is_told_until_it_can() {
    let (services, reporter) = start().await;
    let host = host(1).with("auth.log/folder", "");
    let spool = Spool::open(host.path().join("spool"), host.path().join("auth.log"), Zone::Local).unwrap();
    let (often, hour) = (Duration::from_millis(50), Duration::from_secs(3_600));
    let intervals = Intervals { heartbeat: hour, report: hour, events: often };
    let mut agent = Agent::new(host.root(), reporter, Some(spool), intervals);
    let _ = tokio::time::timeout(Duration::from_secs(2), agent.run()).await;
    std::fs::remove_dir_all(host.path().join("auth.log")).unwrap();
    std::fs::write(host.path().join("auth.log"), log(1..3)).unwrap();
    assert!(matches!(agent.once().await, Ok(())));
    let memory = services.0.lock().unwrap();
    let state = |request: &inventory::RegisterMachineRequest| {
        let components = &request.facts.as_ref().unwrap().components;
        components.iter().find(|component| component.name == "auth-log").unwrap().state()
    };
    let mut told: Vec<_> = memory.registered.iter().map(state).collect();
    told.dedup();
    use inventory::ComponentState::{Failed, Running};
    assert_eq!(told, [Running, Failed, Running]);
    assert_eq!((memory.registered.len(), memory.events.len()), (3, 2));
}

#[tokio::test]
async fn a_name_of_no_letters_and_a_count_beyond_the_contract_are_made_fit() {
    let (services, mut reporter) = start().await;
    let text = "Nov 24 07:00:00 host sshd[1]: message repeated 25000 times: [ Failed password for invalid user  from 192.0.2.4 port 7 ssh2]\n";
    let host = host(1).with("auth.log", text);
    reporter.register(&snapshot(&host)).await.unwrap();
    let mut spool = Spool::open(host.path().join("spool"), host.path().join("auth.log"), Zone::Local).unwrap();
    spool.ingest(noon()).unwrap();
    reporter.send_events(&mut spool).await.unwrap();
    let memory = services.0.lock().unwrap();
    let counts: Vec<u32> = memory.events.iter().map(|(_, _, event)| event.count).collect();
    assert_eq!(counts, [10_000, 10_000, 5_000]);
    assert_eq!(memory.events[0].2.account, "(empty)");
}

#[tokio::test]
async fn the_server_hears_what_was_left_out_and_cut() {
    let (services, mut reporter) = start().await;
    let long = format!("ann:x:1:1:{}:/:/bin/sh\n", "long ".repeat(2_000));
    let host = Host::new()
        .with("etc/passwd", format!("root:x:0:0::/root:/bin/sh\nbroken\nalso broken\n{long}"))
        .with("etc/hostname", "web-1")
        .with("etc/machine-id", "0".repeat(32));
    let snapshot = snapshot(&host);
    reporter.register(&snapshot).await.unwrap();
    reporter.report(&snapshot).await.unwrap();
    let memory = services.0.lock().unwrap();
    let told = memory.unread.iter().find(|unread| unread.asset_class() == inventory::AssetClass::Account).unwrap();
    assert_eq!((told.left_out, told.cut), (2, 1), "{told:?}");
    assert!(told.reason.contains("left out: /etc/passwd:2: "), "{}", told.reason);
    assert!(told.reason.ends_with("too long and cut: texts or lists of items"), "{}", told.reason);
}
