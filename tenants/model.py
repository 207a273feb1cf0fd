"""What every model of ours is. `policies`, `tokens`, `paths` and `documents` build on it."""

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """Frozen, and unknown fields are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, arbitrary_types_allowed=True)
