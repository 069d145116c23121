"""What must hold for the chart helm/cwpp: it lints and renders with Helm 4 for every example in ci/, every
manifest is valid, every pod is restricted, nothing secret is rendered, every value is used, and every rendered
configuration file starts the real binary to ready on MySQL.

Run by `tests/run chart`; needs the debug binaries in CARGO_TARGET_DIR and CWPP_TEST_MYSQL_URL.
"""

import copy
import pathlib
import re
import subprocess
import sys
import unittest

import kubernetes_validate
import yaml

import chart_start

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "cwpp"
HELM = ROOT / "tests" / "tools" / "helm"
EXAMPLES = sorted((CHART / "ci").glob("*-values.yaml"))
KUBERNETES = ["1.31", "1.35", "1.37"]
SECRET_WORDS = re.compile(r"password|secret|token|private|credential|_key\b|^key$")


def helm(*arguments):
    return subprocess.run([HELM, *map(str, arguments)], capture_output=True, text=True, stdin=subprocess.DEVNULL)


def render(*arguments):
    done = helm("template", "t", CHART, "--namespace", "cwpp", *arguments)
    if done.returncode:
        raise AssertionError(done.stderr)
    return done.stdout


def documents(text):
    return [document for document in yaml.safe_load_all(text) if document]


def render_values(values, folder):
    path = pathlib.Path(folder) / "values.yaml"
    path.write_text(yaml.safe_dump(values))
    return render("--values", path)


def pods(manifests):
    for manifest in manifests:
        if manifest["kind"] in ("Deployment", "Job", "StatefulSet", "DaemonSet"):
            yield f'{manifest["kind"]}/{manifest["metadata"]["name"]}', manifest["spec"]["template"]
        elif manifest["kind"] == "Pod":
            yield f'Pod/{manifest["metadata"]["name"]}', manifest


def of_kind(manifests, kind):
    return {m["metadata"]["name"]: m for m in manifests if m["kind"] == kind}


def matches(selector, labels):
    return all(labels.get(key) == value for key, value in selector.items())


class Chart(unittest.TestCase):
    """The chart, and the image and the alerts of deploy/."""

    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.rendered = {path.stem: render("--values", path) for path in EXAMPLES}
        cls.manifests = {name: documents(text) for name, text in cls.rendered.items()}

    def each(self):
        self.assertGreaterEqual(len(self.manifests), 3)
        return self.manifests.items()

    def test_helm_is_version_4(self):
        self.assertTrue(helm("version", "--short").stdout.startswith("v4."))

    def test_every_example_lints_strictly(self):
        for path in EXAMPLES:
            with self.subTest(example=path.stem):
                done = helm("lint", CHART, "--strict", "--values", path)
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_every_manifest_is_valid_kubernetes(self):
        for _, manifests in self.each():
            for manifest in manifests:
                for version in KUBERNETES:
                    kubernetes_validate.validate(manifest, version, strict=True)

    def test_every_pod_meets_the_restricted_standard_and_more(self):
        allowed = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
        for _, manifests in self.each():
            for where, template in pods(manifests):
                spec = template["spec"]
                self.assertFalse({"hostNetwork", "hostPID", "hostIPC"} & spec.keys(), where)
                self.assertIs(spec["automountServiceAccountToken"], False, where)
                self.assertIs(spec["enableServiceLinks"], False, where)
                context = spec["securityContext"]
                self.assertIs(context["runAsNonRoot"], True, where)
                self.assertEqual(context["runAsUser"], 65532, where)
                self.assertEqual(context["seccompProfile"]["type"], "RuntimeDefault", where)
                for volume in spec["volumes"]:
                    self.assertLessEqual(volume.keys() - {"name"}, allowed, where)
                for container in spec["containers"] + spec.get("initContainers", []):
                    context = container["securityContext"]
                    self.assertIs(context["allowPrivilegeEscalation"], False, where)
                    self.assertIs(context["readOnlyRootFilesystem"], True, where)
                    self.assertEqual(context["capabilities"], {"drop": ["ALL"]}, where)
                    self.assertNotIn("privileged", context, where)
                    self.assertFalse([p for p in container.get("ports", []) if "hostPort" in p], where)
                    self.assertTrue(container["resources"]["requests"], where)
                    self.assertIn({"name": "tmp", "mountPath": "/tmp"}, container["volumeMounts"], where)

    def test_nothing_secret_is_rendered(self):
        for name, manifests in self.each():
            self.assertFalse(of_kind(manifests, "Secret"), name)
            for config in of_kind(manifests, "ConfigMap").values():
                for line in config["data"]["config.toml"].splitlines():
                    key = line.split(" = ")[0].strip()
                    if " = " in line and SECRET_WORDS.search(key):
                        self.assertTrue(key.endswith(("_file", "_dir")), line)
            self.assertNotRegex(self.rendered[name], r"://[^/\s\"]*:[^/\s\"]*@")
            for where, template in pods(manifests):
                for container in template["spec"]["containers"]:
                    for variable in container.get("env", []):
                        self.assertIsNone(SECRET_WORDS.search(variable["name"].lower()), where)

    def test_every_mount_has_its_volume_and_every_config_its_pod(self):
        for _, manifests in self.each():
            maps = of_kind(manifests, "ConfigMap")
            used = set()
            for where, template in pods(manifests):
                volumes = {volume["name"]: volume for volume in template["spec"]["volumes"]}
                for container in template["spec"]["containers"]:
                    mounted = {mount["name"] for mount in container["volumeMounts"]}
                    self.assertEqual(mounted, volumes.keys(), where)
                used.add(volumes["config"]["configMap"]["name"])
            self.assertEqual(used, maps.keys())

    def test_a_service_selects_its_own_pods_and_never_a_migration(self):
        for _, manifests in self.each():
            for name, service in of_kind(manifests, "Service").items():
                hit = [where for where, t in pods(manifests) if matches(service["spec"]["selector"], t["metadata"]["labels"])]
                self.assertEqual(hit, [f'Deployment/{name.removesuffix("-headless")}'])
                ports = {port["name"]: port for port in service["spec"]["ports"]}
                self.assertEqual(ports["grpc"]["appProtocol"], "kubernetes.io/h2c")

    def test_probes_ask_the_admin_port_and_liveness_never_the_database(self):
        for _, manifests in self.each():
            for where, deployment in of_kind(manifests, "Deployment").items():
                container = deployment["spec"]["template"]["spec"]["containers"][0]
                admin = next(p["containerPort"] for p in container["ports"] if p["name"] == "admin")
                paths = {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
                for probe, path in paths.items():
                    self.assertEqual(container[probe]["httpGet"], {"path": path, "port": admin}, where)

    def test_a_budget_stands_only_where_more_than_one_replica_does(self):
        for _, manifests in self.each():
            replicas = {name: d["spec"]["replicas"] for name, d in of_kind(manifests, "Deployment").items()}
            self.assertEqual(of_kind(manifests, "PodDisruptionBudget").keys(), {n for n, r in replicas.items() if r > 1})

    def test_the_grace_period_covers_the_shutdown_settings(self):
        for _, manifests in self.each():
            configs = of_kind(manifests, "ConfigMap")
            for name, deployment in of_kind(manifests, "Deployment").items():
                text = configs[name]["data"]["config.toml"]
                parts = [int(re.search(rf'^{key} = "(\d+)s"$', text, re.M)[1]) for key in ("lame_duck", "drain")]
                self.assertEqual(deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"], sum(parts) + 10)

    def test_a_migration_has_a_name_made_of_what_it_runs(self):
        base = ["--values", CHART / "ci" / "default-values.yaml"]
        jobs = of_kind(documents(render(*base)), "Job")
        self.assertEqual(len(jobs), 4)
        self.assertEqual(jobs, of_kind(documents(render(*base)), "Job"))
        for job in jobs.values():
            self.assertNotIn("ttlSecondsAfterFinished", job["spec"])
            self.assertNotIn("helm.sh/hook", job["metadata"].get("annotations", {}))
            self.assertGreater(job["spec"]["backoffLimit"], 0)
            self.assertLessEqual(len(job["metadata"]["name"]), 63)
        for change in ("image.tag=9.9.9", "database.maxConnections=7", "migrations.backoffLimit=3"):
            self.assertFalse(jobs.keys() & of_kind(documents(render(*base, "--set", change)), "Job").keys(), change)

    def test_the_network_policy_follows_the_call_graph(self):
        manifests = self.manifests["ha-values"]
        policies = of_kind(manifests, "NetworkPolicy")
        calls = {}
        for name, config in of_kind(manifests, "ConfigMap").items():
            for far in re.findall(r"http://(t-cwpp-\w+)-headless:", config["data"]["config.toml"]):
                calls.setdefault(name, set()).add(far)
        for caller in of_kind(manifests, "Deployment"):
            labels = dict(pods_of(manifests)[caller])
            for far in of_kind(manifests, "Deployment"):
                peers = [p for rule in policies[far]["spec"]["ingress"] for p in rule["from"]]
                admitted = any("podSelector" in p and matches(p["podSelector"]["matchLabels"], labels) for p in peers)
                self.assertEqual(admitted, far in calls.get(caller, set()), f"{caller} -> {far}")
        self.assertFalse(of_kind(self.manifests["default-values"], "NetworkPolicy"))

    def test_a_misspelt_key_is_refused_and_those_of_an_umbrella_are_not(self):
        base = ["template", "t", CHART, "--values", CHART / "ci" / "default-values.yaml", "--set"]
        for wrong in ("service.inventory.enabled=false", "services.inventroy.enabled=true", "image.tags=1",
                      "defaults.replicas=2", "auth.mode=insecure", "auth.audience=", "database.port=0"):
            self.assertNotEqual(helm(*base, wrong).returncode, 0, wrong)
        for right in ("global.anything.at=all", "enabled=true"):
            self.assertEqual(helm(*base, right).returncode, 0, right)
        self.assertNotEqual(helm("template", "t", CHART).returncode, 0, "mandatory values have no default")

    def test_every_value_is_used(self):
        base = merged(yaml.safe_load((CHART / "values.yaml").read_text()),
                      yaml.safe_load((CHART / "ci" / "ha-values.yaml").read_text()))
        folder = self.enterContext(chart_start.folder())
        before = render_values(base, folder)
        for path in leaves(base):
            if path == ("auth", "mode"):  # the schema admits one value
                self.assertIn('mode = "jwt"', before)
                continue
            with self.subTest(value=".".join(map(str, path))):
                changed = copy.deepcopy(base)
                mutate(changed, path)
                done = render_values(changed, folder)
                self.assertFalse(before == done, "changing it changes nothing")

    def test_every_value_is_described(self):
        readme = (CHART / "README.md").read_text()
        for path in leaves(yaml.safe_load((CHART / "values.yaml").read_text())):
            key = ".".join(path)
            if path[0] == "services":
                key = ".".join(("services", "NAME", *path[2:]))
            self.assertIn(f"`{key}`", readme)

    def test_every_rendered_config_starts_the_real_binary_to_ready(self):
        for name, manifests in self.each():
            for where, config in of_kind(manifests, "ConfigMap").items():
                service = config["metadata"]["labels"]["app.kubernetes.io/component"]
                with self.subTest(config=where):
                    chart_start.to_ready(service, config["data"]["config.toml"])

    def test_the_image_holds_every_program(self):
        copied = re.search(r"for program in ([^;]+);", (ROOT / "deploy" / "Dockerfile").read_text()).group(1).split()
        names = [re.search(r'^name = "(.+)"', (main.parents[1] / "Cargo.toml").read_text(), re.M).group(1)
                 for main in (ROOT / "services").glob("*/src/main.rs")]
        self.assertEqual(sorted(copied), sorted(names))

    def test_every_alert_names_a_metric_that_the_programs_have(self):
        rules = yaml.safe_load((ROOT / "deploy" / "prometheus" / "rules.yaml").read_text())
        sources = "".join(path.read_text() for top in ("shared", "services") for path in (ROOT / top).rglob("src/**/*.rs"))
        for rule in (rule for group in rules["groups"] for rule in group["rules"]):
            # Metric names: words before a selector, a range or a comparison; recorded ones hold a colon.
            words = re.findall(r"\b([a-z][a-z0-9_]+)(?=[{\[]|\) [<>])", rule["expr"])
            self.assertTrue(words or ":" in rule["expr"], rule)
            for word in words:
                metric = re.sub(r"_(bucket|count|sum)$", "", word)
                self.assertIn(f'"{metric}"', sources, rule)


def pods_of(manifests):
    return {where.partition("/")[2]: template["metadata"]["labels"] for where, template in pods(manifests)}


def merged(under, over):
    """`over` laid on `under`, maps together, everything else replaced: as Helm does."""
    if not (isinstance(under, dict) and isinstance(over, dict)):
        return over
    return {key: merged(under[key], over[key]) if key in under and key in over else over.get(key, under.get(key))
            for key in under | over}


def leaves(values, path=()):
    """The path of every value that the chart's author named; free maps count as one value."""
    free = {"resources", "config", "affinity", "nodeSelector", "podLabels", "podAnnotations", "commonLabels",
            "commonAnnotations", "annotations"}
    for key, value in values.items():
        if isinstance(value, dict) and key not in free:
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key)


def mutate(values, path):
    """Gives the value at path another one that the schema admits."""
    others = {
        ("image", "pullPolicy"): "Always", ("log", "format"): "human", ("image", "digest"): "",
        ("database", "tls", "mode"): "required", ("trace", "sampleRatio"): 0.5,
        ("backup", "retention"): "12h", ("backup", "binlog"): "12h", ("backup", "externalHorizon"): "12h",
        ("resources",): {"requests": {"cpu": "1"}}, ("affinity",): {}, ("config",): {"deadline": {"default": "7s"}},
    }
    at = values
    for key in path[:-1]:
        at = at[key]
    key, old = path[-1], at[path[-1]]
    if path == ("auth", "jwks", "existingConfigMap"):
        at.update(existingSecret="", existingConfigMap="other")
    elif path == ("auth", "jwks", "existingSecret"):
        at.update(existingSecret="other", existingConfigMap="")
    elif path == ("auth", "token", "key"):
        at.update(existingSecret="other", key="other")
    elif path == ("keys", "pageToken"):
        at[key] = ["other.key"]
    elif path == ("image", "tag"):
        values["image"].update(tag="other", digest="")
    elif path in others:
        at[key] = others[path]
    elif (key,) in others:
        at[key] = others[(key,)]
    elif isinstance(old, bool):
        at[key] = not old
    elif isinstance(old, (int, float)):
        at[key] = old + 1
    elif isinstance(old, dict):
        at[key] = {**old, "another": "one"}
    elif isinstance(old, list):
        at[key] = []
    else:
        at[key] = {"issuer": "https://other.example", "endpoint": "http://other:4317"}.get(key, "other")


if __name__ == "__main__":
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(unittest.defaultTestLoader.loadTestsFromTestCase(Chart))
    broken = len({str(test).split(" [")[0].split(" (")[0] for test, _ in result.failures + result.errors})
    print(f"{result.testsRun - broken} passed, {broken} failed")
    sys.exit(0 if result.wasSuccessful() else 1)
