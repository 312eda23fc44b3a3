"""What this process knows and nobody else may see: passwords, signatures and tokens of URLs, options of stores.

A URL is ``shown`` as soon as a user has given it, and from then on all of muster has the shown one: names, journals,
messages and pages can tell no more than that. What was taken out is put back (``whole``) where a store is asked, and
nowhere else. It is in memory alone; workers get it with the rest of the caller's world.

Two URLs that differ in their secrets alone are numbered in the order in which they are met: ``***``, ``***2``. No
digest tells them apart, since a new signature of the same object has to give the same name in the next attempt. Digests
stand for values of parameters that may or may not be secret, under a key of this user's: whoever reads one without that
key cannot try out a short secret.
"""

import base64
import contextlib
import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, count
from typing import Any, Final, NamedTuple
from urllib.parse import quote, unquote, unquote_plus

HIDDEN: Final = "***"
_LINK: Final = r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>]+"
_WEB: Final = frozenset({"http", "https"})
_LETS_IN: Final = (
    r"(?i)x-(amz|goog|oss|ms|cos)-.*|.*(signature|token|secret|passw|pwd|credential|auth(?!ors?\b)|accesskey|access_key|apikey"
    r"|accessid|api_key|api-key|jwt|session|key-pair-id).*|sig|key|pass|access|code|policy|hmac|ticket|expires"
    r"|s[eptvrsi]|sip|spr|srt|sk(oid|tid|t|e|s|v)|saoid|suoid|scid|sdd|ses"
)
"""Names of parameters that let somebody in, or are made anew with those that do; Azure's have two or three letters."""
_SURELY_LETS_IN: Final = (
    r"(?i)x-(amz|goog|oss)-.*|.*(signature|token|secret|passw|credential|accesskey|apikey|accessid).*|sig"
)
"""The same where a question mark may be part of a name, as in a bucket."""
_PLAIN: Final = frozenset(
    {
        *("id", "page", "name", "file", "filename", "path", "table", "dataset", "date", "year", "month", "day", "hour"),
        *(
            "limit",
            "offset",
            "raw",
            "dl",
            "download",
            "format",
            "version",
            "versionid",
            "generation",
            "snapshot",
            "ref",
        ),
        *("revision", "rev", "branch", "export", "gid", "lang", "sheet", "query", "q", "alt", "part", "index"),
    }
)
"""Names of parameters whose values are shown; of others, which may be secret, a keyed digest tells two files apart."""
_OF_ANY_REQUEST: Final = r"(?i)[0-9T:.Z+-]*|x-.*|host|AWS4-HMAC-SHA256|GOOG4-RSA-SHA256|https?|[a-z]{1,5}"
"""Values that say nothing, and would be struck out of any sentence."""
_HARMLESS_OPTION: Final = (
    r"anon|endpoint(_url)?|(default_)?region(_name)?|location|account(_name)?|project|tenant_id|token_type|host(name)?|port"
    r"|protocol|user(_?name)?|user(_|-)agent|accept(-.*)?|content-.*|.*(acl|mode|type|style|version|timeout|encoding|size|class)"
    r"|serversideencryption|requestpayer|retries|method|profile(_name)?|(user|simple_)?links?|repo(_id)?|org|branch|ref|sha"
    r"|(root|base)(_?(path|dir|url))?|path|checksum_?.*|.*(checksum|algorithm|validation)|tls.*|level"
)
"""Names of options, in lower case, whose texts say nothing secret; any other text of an option may let somebody in."""
_SCHEMES: Final = frozenset({"bearer", "basic", "token", "digest", "apikey", "negotiate"})
"""What stands before a credential in a header."""
_ARGUMENT_LETS_IN: Final = (
    r"(?i)(.*_)?(token|secret|password|passwd|pwd|passphrase|credentials?|auth|cookie|connection_string|(api|access|secret"
    r"|private|account)_?key)(_.*)?"
)
"""The same for the user's own names, by whole words: ``key`` and ``author`` are columns as a rule."""
_KEY: Final = r'"([^"]+)"\s*:'
"""A name in an object of JSON."""
CREDENTIALS: Final = ("AWS_", "GOOGLE_", "AZURE_", "FSSPEC_", "HF_")
"""How the names of variables begin that stores are opened with."""
_OF_THE_ENVIRONMENT: Final = (
    r"(?!.*_(ID|FILE|PATH|DIR|URI|URL|HOST|ENDPOINT|REGION|EXPIRATION|APPLICATION_CREDENTIALS)$)"
    r".*(TOKEN|SECRET|PASSWORD|CREDENTIAL|CONNECTION_STRING|KEY|SAS).*"
)
"""Which of them are secret."""
_LEAST_OF_A_KEY: Final = 8
"""Shorter ones are those of servers for tests, as a rule, and words of their own."""
_LEAST: Final = 4
"""Shorter words are struck out as part of their URL alone: they stand in too many others."""
_DIGEST_BYTES: Final = 4
"""Two secrets that differ are told apart; nobody can go from so few bytes back to one."""

_DIGEST: Final = r"(?:^|=)~[0-9a-f]{8}$"
_MARK: Final = re.escape(HIDDEN) + r"\d*"
"""What stands where something was taken out."""


class Unseen(NamedTuple):
    """All that this process knows and nobody else may see, to be handed to a worker."""

    urls: tuple[tuple[str, str], ...] = ()
    logins: tuple[tuple[str, str], ...] = ()
    words: frozenset[str] = frozenset()
    options: tuple[tuple[str, Any], ...] = ()

    def __repr__(self) -> str:
        """Tell nothing, wherever this is printed."""
        return "Unseen()"


_urls: Final[dict[str, str]] = {}
_logins: Final[dict[str, str]] = {}
_names: Final[dict[str, str]] = {}
"""How each URL is shown, also each scheme with its login and host."""
_words: Final[set[str]] = set()
_earlier: Final[set[str]] = set()
"""Words of what this process has run before: they are struck out, and given to nobody."""
_options: Final[dict[str, Any]] = {}


class _Split(NamedTuple):
    """A URL without its secrets, and what was taken out of it."""

    shown: str
    logins: tuple[tuple[str, str], ...] = ()
    secrets: tuple[str, ...] = ()


def shown(url: str) -> str:
    """Replace the secrets of a URL by names such as ``***``, and remember them; a path stays as it is."""
    if url in _names or "://" not in url:
        return _names.get(url, url)
    split = _split(url)
    if split.shown == url:
        return url
    _words.update(_spellings(split.secrets))
    found = split.shown
    for hidden, login in split.logins:
        name = _named(login, hidden, among=_logins)
        found = found.replace(hidden, name, 1)
    return _named(url, found, among=_urls)


def _named(secret: str, hidden: str, *, among: dict[str, str]) -> str:
    """Remember what is hidden under a name; where that stands for something else already, under one with a number."""
    if secret not in _names:
        before, mark, after = hidden.rpartition(HIDDEN)  # nothing where a fragment or a digest is all
        more = (f"{before}{mark}{number}{after}" for number in count(2)) if mark else ()
        name = next(name for name in chain([hidden], more, [hidden]) if name not in among or not mark)
        among[name] = secret
        _names[secret] = name
    return _names[secret]


def forget() -> None:
    """Forget all secrets before another job of this process begins: its hosts are sent its own secrets alone."""
    _earlier.update(_words)
    for known in (_urls, _logins, _names, _words, _options):
        known.clear()


def whole(url: str) -> str:
    """Put the secrets back into a URL; also the login of one that was made of another, as of a folder's files."""
    if url in _urls:
        return _urls[url]
    for hidden, login in _logins.items():
        if url == hidden or url.startswith(f"{hidden}/"):
            return login + url.removeprefix(hidden)
    return url


def scrubbed(text: str) -> str:
    """Strike out of a text whatever is known to be secret."""
    for secret in sorted(_names, key=len, reverse=True):
        text = text.replace(secret, _names[secret])
    for word in sorted(_words | _earlier, key=len, reverse=True):
        text = text.replace(word, HIDDEN)
    return text


def harmless(text: str) -> str:
    """Strike out of what a library says also the secrets of URLs that nobody gave us, such as those of a redirect."""
    return re.sub(_LINK, lambda match: _split(match[0], digest=lambda _: HIDDEN).shown, scrubbed(text))


def set_options(options: Mapping[str, Any]) -> None:
    """Remember the options of stores as secrets; those of an earlier run are forgotten."""
    _options.clear()
    _options.update(options)
    _words.update(_spellings(tuple(_texts(options))))


def is_secret(name: str) -> bool:
    """Tell whether the name of an argument looks like that of a secret."""
    return re.fullmatch(_ARGUMENT_LETS_IN, name) is not None


def holds_secret(name: str, text: str) -> bool:
    """Tell whether a value must not be written: for its name, or for a secret in it, such as a URL's password."""
    return is_secret(name) or harmless(text) != text or any(map(is_secret, re.findall(_KEY, text)))


def hide(secrets: Iterable[str]) -> None:
    """Strike these texts out from now on."""
    _words.update(_spellings(tuple(secrets)))


def hide_here(texts: Iterable[str]) -> None:
    """Strike these texts out in this process alone, and send them nowhere."""
    _earlier.update(_spellings(tuple(texts)))


def hide_environment() -> None:
    """Strike out the credentials of stores that are in the environment: a server may echo them."""
    named = [name for name in os.environ if name.startswith(CREDENTIALS) and re.fullmatch(_OF_THE_ENVIRONMENT, name)]
    hide_here(text for text in map(os.environ.__getitem__, named) if len(text) >= _LEAST_OF_A_KEY)


def hide_redirect(url: str) -> None:
    """Strike out what is secret in an address that a server has sent a request on to."""
    hide_here(_split(url if "://" in url else f"http://{url}", digest=lambda _: HIDDEN).secrets)


def options() -> Mapping[str, Any]:
    """Tell the options of stores."""
    return _options


def packed() -> Unseen:
    """Give all of it, for a worker."""
    return Unseen(tuple(_urls.items()), tuple(_logins.items()), frozenset(_words), tuple(_options.items()))


def take(unseen: Unseen) -> None:
    """Take over what the process knew that began the run: a worker strikes out the same secrets."""
    for known, told in ((_urls, unseen.urls), (_logins, unseen.logins)):
        known.update(told)
        _names.update((secret, hidden) for hidden, secret in told)
    _words.update(unseen.words)
    _options.clear()
    _options.update(unseen.options)


def _texts(options: Any, name: str = "") -> Iterator[str]:  # noqa: ANN401 (whatever a store takes)
    """List the texts in options that may be secret: all but those under names that are known to be harmless."""
    if isinstance(options, Mapping):
        for key, value in options.items():
            yield from _texts(value, str(key).lower())
    elif isinstance(options, list | tuple | set | frozenset):
        for value in options:
            yield from _texts(value, name)
    elif isinstance(options, bytes | bytearray):
        yield from _texts(bytes(options).decode("utf-8", "replace"), name)
    elif "://" in str(options):
        yield from _split(str(options)).secrets if re.fullmatch(_HARMLESS_OPTION, name) else (str(options),)
    elif not re.fullmatch(_HARMLESS_OPTION, name) and (isinstance(options, str) or is_secret(name)):
        yield from _credentials(str(options))


def _credentials(text: str) -> Iterator[str]:
    """Take a text, and of ``Bearer abc``, ``Basic abc``, ``user:password`` and ``name=abc`` what may stand alone.

    The name of a cookie is none: struck out, it would be missing in messages about something else.
    """
    yield text
    scheme, _, rest = text.strip().partition(" ")
    if rest and scheme.lower() in _SCHEMES:
        yield from _credentials(rest.strip())
    with contextlib.suppress(ValueError):
        packed = base64.b64decode(rest, validate=True).decode() if scheme.lower() == "basic" else text
        for part in re.split(r"[\s:;,]+", packed):
            _, _, value = part.partition("=")
            yield from (one for one in {part, value.strip("=") or part} if one.lower() not in _SCHEMES)


def _spellings(secrets: tuple[str, ...]) -> Iterator[str]:
    """List how secrets may be spelled in a text."""
    for secret in secrets:
        if len(secret) >= _LEAST:
            yield from {secret, unquote(secret), unquote_plus(secret), quote(unquote(secret), safe="")}


def _digest(value: str) -> str:
    from .key import key

    return (
        f"~{hashlib.blake2b(value.encode(errors='surrogateescape'), key=key(), digest_size=_DIGEST_BYTES).hexdigest()}"
    )


def _split(url: str, *, digest: Callable[[str], str] = _digest) -> _Split:
    """Split each URL of a chain (``zip://a.csv::https://...``); ``digest`` is what is shown for unknown values."""
    if "://" not in url:
        return _Split(url)
    links = [_split_link(link, digest) for link in url.split("::")]
    logins = tuple(login for link in links for login in link.logins)
    return _Split(
        "::".join(link.shown for link in links), logins, tuple(secret for link in links for secret in link.secrets)
    )


def _split_link(url: str, digest: Callable[[str], str]) -> _Split:
    scheme, sign, rest = url.partition("://")
    if not sign:
        return _Split(url)
    is_web = scheme.lower() in _WEB
    login, rest = _login_of(rest)
    path, _, _ = rest.partition("#") if is_web else (rest, "", "")
    path, mark, query = path.partition("?")
    query, secrets = _split_query(query, digest, is_web=is_web)
    name, colon, password = login.partition(":")
    kept = (HIDDEN if is_web else f"{name}:{HIDDEN}") if colon or is_web else name
    is_shown = re.fullmatch(_MARK, password if colon else name) is not None
    text = f"{login if is_shown else kept}@" if login else ""
    host = re.split(r"[/?#]", path, maxsplit=1)[0]
    found = f"{scheme}://{text}{path}{mark}{query}"
    if not login or (not colon and not is_web) or is_shown:
        return _Split(found, (), secrets)
    basic = base64.b64encode(unquote(login).encode()).decode()
    hidden, known = f"{scheme}://{text}{host}", f"{scheme}://{login}@{host}"
    return _Split(found, ((hidden, known),), (*secrets, password or name, basic))


def _login_of(rest: str) -> tuple[str, str]:
    """Take the login off; a password may hold a slash that nobody has encoded, where no port can be meant."""
    found = re.match(r"([^/?#]*)@|([^/?#@:]*:(?!\d*[/?#])[^@]*)@", rest)
    return ((found[1] or found[2] or ""), rest[found.end() :]) if found else ("", rest)


def _split_query(query: str, digest: Callable[[str], str], *, is_web: bool) -> tuple[str, tuple[str, ...]]:
    """Leave parameters out that are secret, and say at the end that there are some."""
    kept, secrets, mark = [], [], []
    for pair in query.split("&") if query else ():
        name, sign, value = pair.partition("=")
        is_secret = sign and re.fullmatch(_LETS_IN if is_web else _SURELY_LETS_IN, unquote(name))
        if is_secret or re.fullmatch(_MARK, pair):
            mark = [HIDDEN if is_secret else pair]
            secrets.append(value)
        elif not is_web or name.lower() in _PLAIN or re.search(_DIGEST, pair):
            kept.append(pair)
        else:
            unknown = value if sign else pair
            secrets.append(unknown)
            kept.append(f"{name}=" * bool(sign) + digest(unknown))
    telling = (one for one in secrets if not re.fullmatch(_OF_ANY_REQUEST, one))
    return "&".join([*kept, *mark]), tuple(telling)
