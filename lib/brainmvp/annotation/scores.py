"""What has been worked out about the studies, kept until the study or the model changes."""

import json
from dataclasses import dataclass

import numpy as np

from brainmvp.annotation.database import Database
from brainmvp.selection import Facts


@dataclass(frozen=True)
class Basis:
    """What a score rests on: the state of the study's files, and the `Card.identity` of model and encoder."""

    files: str
    model: str
    encoder: str


class Scores:
    """The scores of the studies of a folder, by study and task; kept of those out of sight, which may come back."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.revision = 0  # counts the changes made through this object

    def store(self, facts: Facts, task: str, basis: Basis, problem: str | None = None) -> None:
        """Keep the facts of a study; problem: why there are none, so that a bad study is not tried again and again."""
        embedding = None if facts.embedding is None else facts.embedding.astype(np.float32).tobytes()
        row = (
            facts.id,
            task,
            basis.files,
            basis.model,
            basis.encoder,
            json.dumps(facts.entropy),
            embedding,
            problem,
        )
        with self._database.writing() as connection:
            connection.execute("INSERT OR REPLACE INTO scores VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
        self.revision += 1

    def tasks(self) -> list[str]:
        """Return the tasks for which studies were scored, sorted."""
        with self._database.reading() as connection:
            rows = connection.execute("SELECT DISTINCT task FROM scores ORDER BY task")
            return [row["task"] for row in rows]

    def bases(self, task: str) -> dict[str, Basis]:
        """Return by study what its score rests on."""
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT study, files, model, encoder FROM scores WHERE task = ?", (task,)
            )
            return {row["study"]: Basis(row["files"], row["model"], row["encoder"]) for row in rows}

    def facts(self, task: str) -> dict[str, Facts]:
        """Return the facts by study."""
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT study, entropy, embedding, problem, model, encoder FROM scores WHERE task = ?",
                (task,),
            )
            return {row["study"]: _facts(*row) for row in rows}


def _facts(
    study: str, entropy: str, embedding: bytes | None, problem: str | None, model: str, encoder: str
) -> Facts:
    vector = None if embedding is None else np.frombuffer(embedding, np.float32)
    return Facts(study, vector, json.loads(entropy), problem is not None, model, encoder)
