"""FastAPI, imported with its models of OpenAPI unbuilt: a sixth of a cold start.

They are built when one is first used. Import this before anything that imports FastAPI.
"""

from pydantic import BaseModel

BaseModel.model_config["defer_build"] = True
import fastapi.openapi.models  # noqa: E402, F401

del BaseModel.model_config["defer_build"]
