"""The page for who opens the server's address in a browser; unlike the stock ones it needs nothing of other sites."""

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse

router = APIRouter()


@router.get("/", include_in_schema=False)
def page() -> FileResponse:
    """Say what this is, and how 3D Slicer is connected to it."""
    return FileResponse(Path(__file__).with_name("page.html"), media_type="text/html")
