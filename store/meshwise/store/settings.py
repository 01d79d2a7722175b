"""Settings of the embedded store."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from meshwise.store.cluster import CLUSTER_NAME


class StoreSettings(BaseModel):
    """What ``meshwise store`` and ``meshwise store migrate`` read from the section ``store:``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field(
        default="127.0.0.1", description="Address to listen on; anything but loopback needs a token and TLS."
    )
    port: int = Field(default=8123, ge=0, le=65535, description="TCP port to listen on; 0 picks a free one.")
    data_dir: Path = Field(
        default=Path("meshwise-data/store"), description="Directory of the data; one process at a time."
    )
    database: str = Field(
        default="meshwise", pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$", description="Database that holds every table."
    )
    url: str = Field(
        default="",
        description="URL of the store that `meshwise store migrate` brings up to date; empty: this host and port.",
    )
    ca: Path | None = Field(
        default=None, description="PEM file of the authorities to trust at an https url; unset: the system's."
    )
    client_cert: Path | None = Field(
        default=None, description="PEM file with the certificate to show at an https url, and its private key."
    )
    cluster: str = Field(
        default="",
        pattern=rf"{CLUSTER_NAME}|^$",
        description="Cluster over which `meshwise store migrate` lays out the tables; empty: one server.",
    )
    indexes: Literal["bloom", "text"] = Field(
        default="bloom",
        description="How spans and logs are found by trace, attribute and word: bloom filters, or text indexes, which "
        "search faster for more disk and slower inserts.",
    )
    user: str = Field(
        default="", max_length=128, description="User every request must name; empty: no credentials asked."
    )
    password: str = Field(default="", max_length=1024, description="Password of that user.", repr=False)
    token: str = Field(
        default="", max_length=4096, description="Bearer token accepted instead of the password.", repr=False
    )
    tls_cert: Path | None = Field(default=None, description="PEM certificate chain of the server.")
    tls_key: Path | None = Field(default=None, description="PEM private key of the certificate.")
    tls_client_ca: Path | None = Field(
        default=None,
        description="PEM file of the authorities whose client certificates let in, as a token or password does.",
    )
    confine: bool = Field(
        default=True,
        description="Have the kernel (Landlock) forbid the process to write outside data_dir and the directory for "
        "temporary files, and to connect to anybody; where the kernel has none of it, nothing changes.",
    )
    threads: int = Field(default=2, ge=1, le=64, description="Threads one query may use.")
    workers: int = Field(default=4, ge=1, le=64, description="Queries that run at the same time; more wait their turn.")
    max_waiting: int = Field(
        default=64, ge=1, le=10_000, description="Queries running or waiting; more are refused at once."
    )
    query_timeout_s: float = Field(default=30.0, gt=0, le=3600, description="Longest run of one query, in seconds.")
    memory_share: float = Field(
        default=0.25, gt=0, le=0.9, description="Share (0-1) of the machine's memory for one query."
    )
    max_result_rows: int = Field(
        default=1_000_000, ge=1, description="Rows of one answer unless the query asks for more."
    )
    max_export_rows: int = Field(default=10_000_000, ge=1, description="Most rows a query may ask for.")
    max_body_bytes: int = Field(
        default=256 * 2**20, ge=2**20, description="Largest request body in bytes, on the wire and unpacked."
    )
    max_statement_bytes: int = Field(default=256 * 2**10, ge=1024, description="Longest statement in bytes.")
    drain_s: float = Field(
        default=10.0, ge=0, le=600, description="Seconds that running queries get to end at shutdown."
    )
