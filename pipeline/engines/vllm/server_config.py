"""Options of the engine kind `vllm_server`: those of `vllm`, and how its server is talked to.

The address of a server that runs already changes where requests go and nothing else, so it stays out of the identity;
what the recipe says of model and numbers is then the word of whoever started that server. Contacts nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, field_validator

from pipeline.engines.http.endpoint import check_url, is_loopback
from pipeline.engines.http.scoring_config import ScoringConfig
from pipeline.engines.openai import OpenAIConfig
from pipeline.engines.vllm.config import VllmConfig
from pipeline.types import ExecutionOnly

_EnvironmentName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$"), ExecutionOnly()]
_Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False), ExecutionOnly()]


class VllmServerConfig(VllmConfig):
    """Options of the engine; times are in seconds."""

    model_config = ConfigDict(hide_input_in_errors=True)  # a refused URL may hold a password

    task: Literal["generate"] = "generate"
    """Pooling models are for the kind `vllm`."""
    scoring: ScoringConfig = ScoringConfig(method="prompt_logprobs")
    """How given text is scored; by default by token ids that the server's own tokenizer made."""
    base_url: Annotated[str | None, ExecutionOnly()] = None
    """A server on this machine that runs already, with `/v1` at the end; nothing is started then."""
    base_url_env: _EnvironmentName = "PREFMILL_VLLM_URL"
    """Environment variable that may hold the address of a running server, on any machine."""
    api_key_env: _EnvironmentName = "VLLM_API_KEY"
    """Environment variable with the key of a running server."""
    served_name: Annotated[str | None, ExecutionOnly()] = None
    """The running server's name of the model; None for `model` as the recipe says it."""
    max_connections: Annotated[int, Field(ge=1), ExecutionOnly()] = 256
    """Most requests at the server at once."""
    connect_timeout_s: _Seconds = 10.0
    timeout_s: _Seconds = 3600.0
    """For one attempt, waiting in the server's queue included; a server without progress is ended after `hang_s`."""
    deadline_s: _Seconds = 7200.0
    """For one request over all its attempts at one start of the server."""
    max_attempts: Annotated[int, Field(ge=1), ExecutionOnly()] = 6
    max_reply_mb: Annotated[float, Field(gt=0), ExecutionOnly()] = 64.0

    @field_validator("base_url")
    @classmethod
    def _this_machine_only(cls, value: str | None) -> str | None:
        if value is None:
            return None
        url = check_url(value)
        if not is_loopback(url):
            raise ValueError(
                "a recipe may name only this machine (localhost, 127.0.0.1, [::1]); give any other address in the "
                "environment variable that base_url_env names"
            )
        return url

    def address(self, environment: Mapping[str, str]) -> str | None:
        """Return the address of the running server to use; None if one is to be started."""
        return self.base_url or environment.get(self.base_url_env, "").strip() or None

    def client(self, served_name: str) -> OpenAIConfig:
        """Return the options of the client that talks to the server."""
        return OpenAIConfig(
            model=served_name,
            structured_output=True,
            scoring=self.scoring,
            max_connections=self.max_connections,
            connect_timeout_s=self.connect_timeout_s,
            timeout_s=self.timeout_s,
            deadline_s=self.deadline_s,
            max_attempts=self.max_attempts,
            max_reply_mb=self.max_reply_mb,
        )
