"""Which model answers: the one that was configured, else Ollama's when it is there, else the embedded one.

Asks Ollama at most twice (its list, and one model's abilities) within a short time-out; decides nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import aiohttp

from pmcp_common.ollama_host import normalise_ollama_host
from pmcp_local import model
from pmcp_local.part import StackError
from pmcp_local.settings import LocalSettings

# Families of embedding models in older Ollama versions, which do not tell abilities.
_EMBEDDING_FAMILIES = frozenset({"bert", "nomic-bert", "nomic-bert-moe", "xlm-roberta", "snowflake-arctic"})


@dataclass(frozen=True, slots=True)
class ModelChoice:
    api: Literal["ollama", "openai"]
    url: str
    name: str | None
    """None: the worker's own default."""
    embedded: bool
    because: str

    def sentence(self) -> str:
        kind = "Ollama" if self.api == "ollama" else "the OpenAI-compatible server"
        place = "the embedded model server" if self.embedded else f"{kind} at {self.url}"
        return f"{self.name or 'The default model'} answers, from {place} ({self.because})."


async def choose_model(settings: LocalSettings) -> ModelChoice:
    if settings.model_url is not None and settings.model_api != "embedded":
        return _configured(settings, settings.model_url)
    if settings.model_api == "openai":
        raise StackError("PMCP_MODEL_API is openai, so PMCP_MODEL_URL must say where that server is.")
    if settings.model_api != "embedded":
        url = normalise_ollama_host(settings.ollama_host)
        name = await _find_ollama_model(url, settings)
        if name is not None:
            return ModelChoice("ollama", url, name, False, "found running")
        if settings.model_api == "ollama":
            raise StackError(
                f"PMCP_MODEL_API is ollama, but no Ollama with a chat model answers at {url} (OLLAMA_HOST)."
            )
    return _embedded(settings)


def _configured(settings: LocalSettings, url: str) -> ModelChoice:
    api: Literal["ollama", "openai"] = "openai" if settings.model_api == "openai" else "ollama"
    name = settings.model_name or settings.default_model
    return ModelChoice(api, url.rstrip("/"), name, False, "as configured")


def _embedded(settings: LocalSettings) -> ModelChoice:
    url = f"http://{model.HOST}:{settings.model_port}"
    because = "as configured" if settings.model_api == "embedded" else "no Ollama with a chat model answered"
    return ModelChoice("openai", url, model.MODEL_NAME, True, because)


async def _find_ollama_model(url: str, settings: LocalSettings) -> str | None:
    """The wanted chat model when it is there, else the first; None when nobody answers or none can chat."""
    wanted = settings.model_name or settings.default_model
    timeout = aiohttp.ClientTimeout(total=settings.ollama_probe_seconds)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session:
            models = await _list_models(session, url)
            for candidate in order_candidates(models, wanted):
                if await _can_chat(session, url, candidate):
                    return str(candidate["name"])
    except (TimeoutError, aiohttp.ClientError, OSError, ValueError):
        return None
    return None


async def _list_models(session: aiohttp.ClientSession, url: str) -> list[dict[str, Any]]:
    async with session.get(f"{url}/api/tags") as response:
        response.raise_for_status()
        body = await response.json(content_type=None)
    if not isinstance(body, dict) or not isinstance(body.get("models"), list):
        raise ValueError("not Ollama's answer")
    return [entry for entry in body["models"] if isinstance(entry, dict) and entry.get("name")]


def order_candidates(models: Sequence[Mapping[str, Any]], wanted: str | None) -> list[Mapping[str, Any]]:
    """Chat models, the wanted one first. `llama3` means `llama3:latest`."""
    names = {wanted, f"{wanted}:latest"} if wanted else set()
    chat = [entry for entry in models if not _is_embedding_only(entry)]
    return sorted(chat, key=lambda entry: entry["name"] not in names)


def _is_embedding_only(entry: Mapping[str, Any]) -> bool:
    abilities = entry.get("capabilities")
    if isinstance(abilities, list) and abilities:
        return "completion" not in abilities
    details = entry.get("details")
    family = str(details.get("family", "")) if isinstance(details, dict) else ""
    return family in _EMBEDDING_FAMILIES or "embed" in str(entry["name"])


async def _can_chat(session: aiohttp.ClientSession, url: str, entry: Mapping[str, Any]) -> bool:
    """By `/api/show`; a server too old to tell abilities is believed."""
    if isinstance(entry.get("capabilities"), list):
        return True
    async with session.post(f"{url}/api/show", json={"model": entry["name"]}) as response:
        if response.status != 200:
            return False
        body = await response.json(content_type=None)
    abilities = body.get("capabilities") if isinstance(body, dict) else None
    return not isinstance(abilities, list) or "completion" in abilities
