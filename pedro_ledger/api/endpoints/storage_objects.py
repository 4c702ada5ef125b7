"""Users' files, as the app tracks them.

Each call names the owner, and sees only that owner's files.
"""

from pedro_ledger.api.http.reading import parse, query, read_json, sent_fields, user_ref
from pedro_ledger.api.http.request import Request
from pedro_ledger.api.http.responses import Response, json_response
from pedro_ledger.api.http.rows import row_id, row_json, row_response, rows_page
from pedro_ledger.api.ownership import id_of, owner
from pedro_ledger.api.schemas.answers import Page
from pedro_ledger.api.schemas.app_answers import StorageObject, StorageTotals
from pedro_ledger.api.schemas.app_requests import StorageBody
from pedro_ledger.api.schemas.queries import FilesQuery, NoQuery, OwnerQuery, PurgeableQuery
from pedro_ledger.store.app.storage_objects import StorageStore
from pedro_ledger.store.app.users import UserStore

_WHAT = "storage object"


async def track(request: Request, storage_objects: StorageStore, users: UserStore) -> Response[StorageObject]:
    """Note a file of a user."""
    body = parse(StorageBody, await read_json(request))
    sent_fields(body)
    made = await storage_objects.track(
        await id_of(users, body.user),
        provider=body.provider,
        url=body.url,
        pathname=body.pathname,
        name=body.name,
        content_type=body.contentType,
        size=body.size,
    )
    return row_response(StorageObject, made, "user", 201)


async def list_page(request: Request, storage_objects: StorageStore, users: UserStore) -> Response[Page[StorageObject]]:
    """A user's files, newest first, without the deleted."""
    given = query(request, FilesQuery)
    rows = await storage_objects.list_page(await owner(request, users, given.user), given.cursor, given.limit + 1)
    return rows_page(StorageObject, rows, given.limit, "createdAt", "id")


async def read(request: Request, storage_objects: StorageStore, users: UserStore) -> Response[StorageObject]:
    """One file of a user."""
    user_id = await owner(request, users, query(request, OwnerQuery).user)
    return row_response(StorageObject, await storage_objects.read(user_id, row_id(request, _WHAT)), _WHAT)


async def delete(request: Request, storage_objects: StorageStore, users: UserStore) -> Response[StorageObject]:
    """Mark a user's file as deleted; whoever purges it finds it in the purge list."""
    user_id = await owner(request, users, query(request, OwnerQuery).user)
    return row_response(StorageObject, await storage_objects.delete(user_id, row_id(request, _WHAT)), _WHAT)


async def purgeable(request: Request, storage_objects: StorageStore) -> Response[Page[StorageObject]]:
    """Files of all users that were deleted over `deletedForDays` days ago, first deleted first."""
    given = query(request, PurgeableQuery)
    rows = await storage_objects.purgeable(given.deletedForDays, given.cursor, given.limit + 1)
    return rows_page(StorageObject, rows, given.limit, "deletedAt", "id")


async def totals(request: Request, storage_objects: StorageStore, users: UserStore) -> Response[StorageTotals]:
    """How many files a user has, and bytes in all; the deleted apart."""
    query(request, NoQuery)
    totals = await storage_objects.totals(await id_of(users, user_ref(request)))
    return json_response(row_json(StorageTotals, totals))
