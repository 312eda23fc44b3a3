"""Talk to Kafka: how a broker is named, and its errors in words."""

import contextlib
import importlib.util
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from muster._private.secrets import hide, is_secret
from muster._words import bare
from muster.errors import EngineError, UsageError

from .own_code import AwayError

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError
    from confluent_kafka.admin import AdminClient
    from confluent_kafka.admin._metadata import TopicMetadata

_LOOKS_WITHIN: Final = 5.0
"""Seconds: brokers that are there answer in less than one, also from far away."""
ANSWERS_WITHIN: Final = 10.0
"""Seconds: a broker that has just come up looks for its coordinators as long as that."""

READERS: Final = "muster"
"""The group that all readers name, as they must name one. They commit nothing: a stream keeps its position itself."""

_NO_ID: Final = "A" * 22
"""Nothing but zeros, in base64."""

_BROKERS: Final = re.compile(r"[^\s:/,@]+:\d+(,[^\s:/,@]+:\d+)*|(\[[0-9a-fA-F:]+\]:\d+)")
_OURS: Final = frozenset(
    {
        "bootstrap.servers",
        "group.id",
        "transactional.id",
        "isolation.level",
        "enable.auto.commit",
        "auto.offset.reset",
        "enable.partition.eof",
        "acks",
        "enable.idempotence",
        "allow.auto.create.topics",
    }
)
"""Settings that exactly once rests upon."""


class Topic:
    """A topic of some brokers. Nobody is connected to yet."""

    def __init__(self, brokers: str, topic: str, settings: Mapping[str, Any] | None, *, call: str) -> None:
        """``call`` is the name of the function that was called with them. Raises ``UsageError``."""
        example = f"Type for example {call}('127.0.0.1:9092', 'orders')."
        if not isinstance(brokers, str) or not _BROKERS.fullmatch(brokers):
            raise UsageError(
                f"{call}: brokers are named 'HOST:PORT', several with a comma between them, and a login belongs into"
                f" settings=. {example}"
            )
        if not isinstance(topic, str) or not topic:
            raise UsageError(f"{call}: {topic!r} is no name of a topic. {example}")
        if taken := sorted(_OURS & set(settings or ())):
            raise UsageError(f"{call}: settings= may not have {taken[0]!r}: muster sets it, so that rows come once.")
        if importlib.util.find_spec("confluent_kafka") is None:
            raise UsageError(
                f"{call} needs confluent-kafka, which is not installed here. Type: pip install 'muster-run[kafka]'"
            )
        self.topic = topic
        self.call = call
        self.name = f"{brokers} {topic}"
        """What it is called wherever it is named."""
        self._brokers = brokers
        self._settings = dict(settings or {})
        self._why = ""
        """Why no broker can be reached, as the client said last."""
        self._has_answered = False

    def __repr__(self) -> str:
        """Tell none of the settings."""
        return f"Topic({self.name!r})"

    def settings(self, **ours: object) -> dict[str, Any]:
        """Say how a client is made. Secrets among the settings are struck out of whatever is said from now on."""
        hide(str(value) for name, value in self._settings.items() if is_secret(name.replace(".", "_")))
        given = {name.replace("_", "."): value for name, value in ours.items()}
        return {
            "bootstrap.servers": self._brokers,
            "log_level": 0,  # what it would print is said by us, once
            "error_cb": self._hear,
            **self._settings,
            **given,
        }

    def _hear(self, error: "KafkaError") -> None:
        from confluent_kafka import KafkaError

        if error.code() == KafkaError._RESOLVE or not self._why:  # noqa: SLF001 (its name in the library)
            self._why = error.str()
        if error.code() == KafkaError._AUTHENTICATION:  # noqa: SLF001 (likewise)
            self._why = f"refused: {error.str()}"

    def found(self, consumer: "Consumer") -> "TopicMetadata":
        """Look at the topic. Raises ``UsageError`` where there is none, ``AwayError`` where no broker answers."""
        from confluent_kafka import KafkaException

        self._why = ""
        try:
            told: TopicMetadata = consumer.list_topics(self.topic, timeout=_LOOKS_WITHIN).topics[self.topic]
        except KafkaException as error:
            consumer.poll(0)  # has the client call _hear
            raise self.in_words_of(error.args[0]) from error
        if told.error is not None:
            raise self.in_words_of(told.error)
        self._has_answered = True
        return told

    def admin(self) -> "AdminClient":
        """Make a client that is asked for the topic's ``id``."""
        from confluent_kafka.admin import AdminClient

        with self.in_words():
            return AdminClient(self.settings())

    def id(self, admin: "AdminClient") -> str:
        """Ask for the id of the topic, which no other one ever has; empty where brokers are too old to give ids."""
        from confluent_kafka import TopicCollection

        with self.in_words():
            [asked] = admin.describe_topics(TopicCollection([self.topic]), request_timeout=ANSWERS_WITHIN).values()
            found = str(asked.result().topic_id)
        return "" if found == _NO_ID else found

    @contextlib.contextmanager
    def in_words(self) -> Iterator[None]:
        """Say in words what went wrong. Raises ``AwayError`` where it may do better later."""
        from confluent_kafka import KafkaException

        try:
            yield
        except KafkaException as error:
            raise self.in_words_of(error.args[0]) from error

    def in_words_of(self, error: "KafkaError") -> Exception:  # noqa: PLR0911 (one for each kind)
        """Make the error for what the client says."""
        from confluent_kafka import KafkaError as Kind

        code, said = error.code(), bare(error.str())
        if code == Kind.UNKNOWN_TOPIC_OR_PART:
            return UsageError(
                f"{self.name}: there is no such topic. Mend its name, or make it: kafka-topics.sh --bootstrap-server"
                f" {self._brokers} --create --topic {self.topic}"
            )
        if self.is_denied(error):
            return UsageError(f"{self.name}: this user may not do what the stream needs: {said}. {self._needed()}")
        if code == Kind._AUTHENTICATION or self._why.startswith("refused"):  # noqa: SLF001
            return UsageError(
                f"{self.name}: the broker refuses the login: {self._why or said}. Mend settings=, such as"
                " 'sasl.username' and 'sasl.password'."
            )
        if "resolve" in self._why.lower() and not self._has_answered:
            return UsageError(f"{self.name}: there is no such host: {bare(self._why)}. Mend the name of the broker.")
        if error.fatal() and code in {Kind.PRODUCER_FENCED, Kind._FENCED}:  # noqa: SLF001
            return EngineError(f"{self.name}: another process sends the rows of this stream. Stop one of the two.")
        if code in {Kind.INVALID_CONFIG, Kind._INVALID_ARG, Kind.MSG_SIZE_TOO_LARGE}:  # noqa: SLF001
            return EngineError(f"{self.name}: {said}. Mend that, and type the same command again.")
        return self.away(self._why or said)

    @staticmethod
    def is_denied(error: "KafkaError") -> bool:
        """Tell whether it is permissions that are missing."""
        from confluent_kafka import KafkaError as Kind

        return error.code() in {
            Kind.TOPIC_AUTHORIZATION_FAILED,
            Kind.GROUP_AUTHORIZATION_FAILED,
            Kind.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
            Kind.CLUSTER_AUTHORIZATION_FAILED,
        }

    def away(self, why: str) -> AwayError:
        """Say why rows do not come, or do not go, just now."""
        return AwayError(f"{self.name}: {bare(why)}")

    @property
    def own_names(self) -> str:
        """How the names of groups and transactions begin that streams to this topic have."""
        return f"muster-{self.topic}-"

    def _needed(self) -> str:
        acls = f"kafka-acls.sh --bootstrap-server {self._brokers} --add --allow-principal User:NAME"
        if self.call == "follow_kafka":
            return f"Have an administrator type: {acls} --topic {self.topic} --group {READERS} --operation Read"
        return (
            f"Have an administrator type: {acls} --topic {self.topic} --operation Read --operation Write; and then:"
            f" {acls} --group {self.own_names} --transactional-id {self.own_names} --operation All"
            " --resource-pattern-type prefixed"
        )
