"""A real broker of Kafka for tests: one node, in a folder of its own, killed and started again as a test likes."""

import argparse
import contextlib
import os
import re
import shutil
import socket
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._acl import AclBinding, AclBindingFilter, AclOperation, AclPermissionType
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType
from confluent_kafka.cimpl import NewTopic

from waiting import until

HOST = "127.0.0.1"
POM = Path(__file__).parents[1] / ".ci" / "kafka" / "pom.xml"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "muster-tests"
"""Where ``.ci/get-kafka`` puts it: that of the user, whose home tests do not have."""

SETTINGS = """
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://{host}:{port},SASL_PLAINTEXT://{host}:{with_login},CONTROLLER://{host}:{controller}
advertised.listeners=PLAINTEXT://{host}:{port},SASL_PLAINTEXT://{host}:{with_login}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT
sasl.enabled.mechanisms=PLAIN
listener.name.sasl_plaintext.plain.sasl.jaas.config={jaas} user_eve="swordfish";
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
controller.quorum.bootstrap.servers={host}:{controller}
log.dirs={folder}/log
auto.create.topics.enable=false
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
log.cleaner.enable=false
log.flush.interval.messages=1
num.network.threads=1
num.io.threads=2
"""


JAAS = "org.apache.kafka.common.security.plain.PlainLoginModule required"
LOGIN = {
    "security.protocol": "SASL_PLAINTEXT",
    "sasl.mechanism": "PLAIN",
    "sasl.username": "eve",
    "sasl.password": "swordfish",
}
"""Those of the one user that there is; without a login everybody may do everything."""


def lacking() -> str:
    """Say what is missing to start one; empty where nothing is."""
    if shutil.which("java") is None:
        return "there is no java"
    return "" if jars().is_dir() else "there is no Kafka: type .ci/get-kafka"


def jars() -> Path:
    found = re.search(r"<version>(.*)</version>", POM.read_text())
    assert found
    return CACHE / f"kafka-{found[1]}"


def free_port() -> int:
    with socket.create_server((HOST, 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


class KafkaBroker:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = free_port()
        self.place = f"{HOST}:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None
        with_login, controller = free_port(), free_port()
        self.place_with_login = f"{HOST}:{with_login}"
        text = SETTINGS.format(
            host=HOST, port=self.port, with_login=with_login, controller=controller, folder=folder, jaas=JAAS
        )
        (folder / "settings").write_text(text)
        settings = str(folder / "settings")
        made = ["format", "--standalone", "--cluster-id", "muster-tests-kafka-000", "--config", settings]
        subprocess.run(self._java("kafka.tools.StorageTool", *made), check=True, stdout=subprocess.DEVNULL)
        self.start()

    def _java(self, *words: str) -> list[str]:
        quick = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx400m", "-Xshare:auto"]
        return ["java", *quick, "-cp", f"{jars()}/*", *words]

    def start(self) -> None:
        with (self._folder / "said").open("ab") as said:
            command = self._java("kafka.Kafka", str(self._folder / "settings"))
            self._process = subprocess.Popen(command, stdout=said, stderr=said)
        until(self._answers, 60)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._folder / "said").read_text()[-2000:]
        try:
            AdminClient({"bootstrap.servers": self.place, "log_level": 0}).list_topics(timeout=1)
        except KafkaException:
            return False
        return True

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def topic(self, *, partitions: int = 1, **settings: str) -> str:
        """Make a topic of a new name."""
        name = f"t{uuid.uuid4().hex[:8]}"
        self._make(NewTopic(name, partitions, 1, config=settings))
        return name

    def _make(self, topic: NewTopic) -> None:
        admin = AdminClient({"bootstrap.servers": self.place})
        for made in admin.create_topics([topic]).values():
            made.result(30)

    def make_anew(self, name: str) -> None:
        """Delete a topic, and make another one of its name."""
        admin = AdminClient({"bootstrap.servers": self.place})
        for gone in admin.delete_topics([name]).values():
            gone.result(30)
        until(lambda: self._has_made(name))

    def _has_made(self, name: str) -> bool:
        try:
            self._make(NewTopic(name, 1, 1))
        except KafkaException as error:
            if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:  # the old one, still
                return False
            raise
        return True

    def allow(self, refusal: str) -> None:
        """Do for the one user what the ``kafka-acls.sh`` in a refusal does."""
        flags = argparse.ArgumentParser()
        for flag in ("--topic", "--group", "--transactional-id"):
            flags.add_argument(flag)
        flags.add_argument("--operation", action="append")
        flags.add_argument("--resource-pattern-type", default="literal")
        bindings = []
        for words in re.findall(r"kafka-acls\.sh \S+ \S+ --add --allow-principal User:NAME ([^;]*)", refusal):
            given = vars(flags.parse_args(words.split()))
            pattern = ResourcePatternType[given["resource_pattern_type"].upper()]
            for kind in (ResourceType.TOPIC, ResourceType.GROUP, ResourceType.TRANSACTIONAL_ID):
                if name := given[kind.name.lower()]:
                    bindings += [
                        AclBinding(
                            kind, name, pattern, "User:eve", "*", AclOperation[one.upper()], AclPermissionType.ALLOW
                        )
                        for one in given["operation"]
                    ]
        admin = AdminClient({"bootstrap.servers": self.place})
        for made in admin.create_acls(bindings).values():
            made.result(30)
        names: Any = None  # any
        every = AclBindingFilter(
            ResourceType.ANY,
            names,
            ResourcePatternType.ANY,
            names,
            names,
            AclOperation.ANY,
            AclPermissionType.ANY,
        )
        until(lambda: all(one in admin.describe_acls(every).result(30) for one in bindings))

    def values(self, topic: str) -> list[bytes]:
        """Read what is committed in the one partition of a topic."""
        settings = {"bootstrap.servers": self.place, "group.id": "test", "isolation.level": "read_committed"}
        consumer = Consumer({**settings, "enable.auto.commit": False, "enable.partition.eof": True})
        found: list[bytes] = []
        try:
            consumer.assign([TopicPartition(topic, 0, 0)])
            while (message := consumer.poll(30)) is not None and message.error() is None:
                found.append(message.value() or b"")
        finally:
            consumer.close()
        return found


@contextlib.contextmanager
def kafka_broker(folder: Path) -> Iterator[KafkaBroker]:
    """Start one; where it cannot be started, CI fails, and others skip the test."""
    if why := lacking():
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(why)
    broker = KafkaBroker(folder)
    try:
        yield broker
    finally:
        broker.kill()
