"""The connection to a network camera over HTTP: passwords, proxies, certificates, and what is wrong in words."""

import hashlib
import http.client
import os
import socket
import ssl
import urllib.error
import urllib.parse
import urllib.request
from http import HTTPStatus
from typing import Any

from edge.cameras.multipart import StreamError
from edge.settings import CameraSettings

HEAD_SHARE = 0.8
"""Share of `open_timeout_s` in which a server has to answer: then there is time left to say that it did not."""
_DIGESTS = {"MD5": "md5", "SHA-256": "sha256"}
"""Algorithm of a Digest -> hashlib's name."""
ADDRESS = "check the address: the camera's manual has that of its stream or picture"


class Connection:
    """Asks for a URL, with its user and password."""

    def __init__(self, settings: CameraSettings) -> None:
        self.note = ""
        """What the user should know about the connection."""
        self._timeout_s = HEAD_SHARE * settings.open_timeout_s
        try:
            parts = urllib.parse.urlsplit(settings.source)
            self._host, self._port = (
                parts.hostname or "",
                parts.port or (443 if parts.scheme.lower() == "https" else 80),
            )
            self._has_user = parts.username is not None
        except ValueError as error:
            hint = "write special characters of the password as %40, %2F or %23" if "@" in settings.source else ADDRESS
            raise StreamError(f"it is no address; {hint}") from error
        if not self._host:
            raise StreamError(f"the address has no name of a camera; {ADDRESS}")
        self._tls = parts.scheme.lower() == "https"
        place = parts.netloc.rpartition("@")[2]
        path = urllib.parse.quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
        query = urllib.parse.quote(parts.query, safe="/%:@!$&'()*+,;=~-._?")
        self._url = urllib.parse.urlunsplit((parts.scheme.lower(), place, path, query, ""))
        passwords = urllib.request.HTTPPasswordMgrWithPriorAuth()
        user, password = (urllib.parse.unquote(part or "") for part in (parts.username, parts.password))
        if self._has_user:
            passwords.add_password(None, f"{parts.scheme.lower()}://{place}/", user, password, is_authenticated=False)
        self._passwords = passwords
        self._verified = True

    def ask(self) -> http.client.HTTPResponse:
        """Return the server's answer, if it is a good one. Raises StreamError, which says what else it is."""
        try:
            return self._open()
        except urllib.error.HTTPError as error:
            error.close()
            raise StreamError(self._status(error.code)) from None
        except ssl.SSLCertVerificationError:
            return self._ask_unverified()
        except urllib.error.URLError as error:
            if isinstance(error.reason, ssl.SSLCertVerificationError):
                return self._ask_unverified()
            raise StreamError(self._fault(error.reason)) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise StreamError(self._fault(error)) from None

    def _ask_unverified(self) -> http.client.HTTPResponse:
        # cameras sign their certificates themselves, and FFMPEG has never asked for more
        if not self._verified:
            raise StreamError("its certificate cannot be used; try http://")
        self._verified = False
        self.note = "its certificate is not trusted"
        return self.ask()

    def _open(self) -> http.client.HTTPResponse:
        context = ssl.create_default_context()
        if not self._verified:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        opener = urllib.request.OpenerDirector()
        handlers = [
            urllib.request.ProxyHandler(),
            urllib.request.HTTPHandler(),
            urllib.request.HTTPSHandler(context=context),
            urllib.request.HTTPDefaultErrorHandler(),
            urllib.request.HTTPRedirectHandler(),
            urllib.request.HTTPErrorProcessor(),
        ]
        if self._has_user:
            handlers.append(urllib.request.HTTPBasicAuthHandler(self._passwords))
            handlers.append(_DigestHandler(self._passwords))
        for handler in handlers:
            opener.add_handler(handler)
        request = urllib.request.Request(self._url, headers={"User-Agent": "edge", "Accept": "*/*"})
        response: http.client.HTTPResponse | None = opener.open(request, timeout=self._timeout_s)
        if response is None:
            raise http.client.InvalidURL("no handler")  # it was sent on to ftp:// or the like
        return response

    @property
    def _proxy(self) -> str:
        """The name of the variable with the proxy that is used; '' if there is none."""
        scheme = "https" if self._tls else "http"
        if scheme not in urllib.request.getproxies() or urllib.request.proxy_bypass(f"{self._host}:{self._port}"):
            return ""
        return next(
            (name for name in (f"{scheme}_proxy", f"{scheme.upper()}_PROXY") if name in os.environ), "http_proxy"
        )

    def _status(self, code: int) -> str:
        phrase = f"{code} {HTTPStatus(code).phrase}" if code in HTTPStatus._value2member_map_ else str(code)
        if code == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
            return f"the proxy of {self._proxy or 'http_proxy'} wants a password ({phrase}); set no_proxy={self._host}"
        if self._proxy and code in (502, 503, 504):
            return f"the proxy of {self._proxy} does not reach it ({phrase}); set no_proxy={self._host}"
        if code == HTTPStatus.UNAUTHORIZED:
            if self._has_user:
                return f"it refuses this user and password ({phrase}); check them; write @ in them as %40, : as %3A"
            return f"it wants a user and a password ({phrase}); write them as //USER:PASSWORD@ into the address"
        if code == HTTPStatus.FORBIDDEN:
            return f"it does not allow this ({phrase}); allow it in the camera's own settings"
        if code in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
            return f"there is nothing at this address ({phrase}); {ADDRESS}"
        if code == HTTPStatus.TOO_MANY_REQUESTS:
            return f"it is asked too often ({phrase}); set a lower [camera] max_fps, or a larger retry_s"
        if code == HTTPStatus.SERVICE_UNAVAILABLE:
            return f"the server is busy ({phrase}); does another program watch it?"
        if code >= 500:
            return f"the server reports its own error ({phrase}); restart the camera"
        if 300 <= code < 400:
            return f"it sends edge from one address to another and back ({phrase}); {ADDRESS}"
        return f"the server answers {phrase}; {ADDRESS}"

    def _fault(self, reason: object) -> str:
        where = f"{self._host}:{self._port}"
        if self._proxy and isinstance(reason, OSError):
            return f"the proxy of {self._proxy} cannot be used ({_words(reason)}); set no_proxy={self._host}"
        if isinstance(reason, TimeoutError):
            return f"nothing came from {where} within {self._timeout_s:g} s; is it switched on, and the address right?"
        if isinstance(reason, socket.gaierror):
            return f"the name {self._host} is not known; check it, or use the number of the camera"
        if isinstance(reason, ConnectionRefusedError):
            return f"nothing listens at {where}; check the port, and that the camera runs"
        if isinstance(reason, http.client.RemoteDisconnected | ConnectionResetError):
            other = "http" if self._tls else "https"
            return f"{where} hung up without an answer; is it {other}:// or rtsp://?"
        if isinstance(reason, ssl.SSLError):
            return f"{where} does not speak TLS as it should; is it http://?"
        if isinstance(reason, http.client.InvalidURL | UnicodeError):
            return f"it is no address that can be used; {ADDRESS}"
        if isinstance(reason, http.client.HTTPException):
            return f"{where} does not speak HTTP; is it https:// or rtsp://?"
        if isinstance(reason, OSError):
            return f"{where} cannot be reached ({_words(reason)}); check the address and the network"
        # urllib knows Basic and Digest
        return "it wants a password in a way that edge does not know; allow Basic or Digest in the camera's settings"


class _DigestHandler(urllib.request.HTTPDigestAuthHandler):
    """Digest with SHA-256 too, and one try for a password: many cameras lock a user after five wrong ones."""

    def http_error_401(self, req: Any, fp: Any, code: int, msg: str, headers: Any) -> Any:
        """Answer the first offer that is known: cameras offer Basic, MD5 and SHA-256 in any order."""
        if req.has_header(self.auth_header) and not any("stale=true" in one.lower() for one in _offers(headers)):
            raise urllib.error.HTTPError(req.full_url, code, msg, headers, fp)
        for offer in _offers(headers):
            scheme, _, rest = offer.partition(" ")
            values = urllib.request.parse_keqv_list([one for one in urllib.request.parse_http_list(rest) if "=" in one])
            if scheme.lower() == "digest" and values.get("algorithm", "MD5").upper() in _DIGESTS:
                self.reset_retry_count()
                return self.retry_http_digest_auth(req, offer)
        return None

    def get_algorithm_impls(self, algorithm: str) -> Any:
        """Return the functions H(text) and KD(secret, text) of RFC 7616."""
        name = _DIGESTS[algorithm.upper()]

        def digest(text: str) -> str:
            return hashlib.new(name, text.encode(), usedforsecurity=False).hexdigest()

        return digest, lambda secret, text: digest(f"{secret}:{text}")


def _offers(headers: Any) -> list[str]:
    """Return the ways in which a server lets itself be asked."""
    return headers.get_all("WWW-Authenticate") or []


def _words(error: OSError) -> str:
    return error.strerror or type(error).__name__
