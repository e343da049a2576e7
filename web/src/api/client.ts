// One request to the indexer: its answer, or an error with words for people.

/** What went wrong and what to do, as RFC 9457 problems say it. */
export class ApiError extends Error {
  constructor(
    readonly code: string,
    detail: string,
    readonly fix: string,
  ) {
    super(detail);
  }
}

const PATIENCE_MS = 8_000;

export async function get<T>(path: string): Promise<T> {
  return ask<T>(path, {});
}

export async function post<T>(path: string, body: unknown): Promise<T> {
  return ask<T>(path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
}

async function ask<T>(path: string, init: RequestInit): Promise<T> {
  let response: Response;
  try {
    response = await fetch(path, { ...init, signal: AbortSignal.timeout(PATIENCE_MS) });
  } catch {
    throw new ApiError('unreachable', 'The indexer does not answer.', 'It is asked again every second.');
  }
  const body: unknown = await response.json().catch(() => null);
  if (response.ok && body !== null) return body as T;
  throw problem(response.status, body);
}

function problem(status: number, body: unknown): ApiError {
  const field = (name: string): string | undefined => {
    if (typeof body !== 'object' || body === null) return undefined;
    const value: unknown = Reflect.get(body, name);
    return typeof value === 'string' ? value : undefined;
  };
  return new ApiError(
    field('code') ?? `http_${status}`,
    field('detail') ?? `The indexer answered with status ${status}.`,
    field('fix') ?? '',
  );
}
