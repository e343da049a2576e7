// The one place where live data comes in. Today it asks once a second; a WebSocket replaces the inside of `useLive`
// and nothing else changes.
import { useEffect, useState } from 'react';

import { type ApiError, get } from './client';
import type {
  Backing, Book, Conversion, Court, Deployment, Epoch, Fleet, Pool, Reports, Series, Status, Trade,
} from './types';

/** The last answer, and the error if asking again failed: old data stays on the page and is marked. */
export interface Feed<T> {
  data: T | null;
  error: ApiError | null;
}

export interface Live {
  status: Feed<Status>;
  series: Feed<{ series: Series[]; backing?: Backing[] }>;
  deployment: Feed<Deployment>;
  book: Feed<Book>;
  pool: Feed<Pool>;
  trades: Feed<{ trades: Trade[] }>;
  reports: Feed<Reports>;
  epochs: Feed<{ epochs: Epoch[] }>;
  court: Feed<Court>;
  fleet: Feed<Fleet>;
  conversion: Feed<Conversion>;
}

const PERIOD_MS = 1_000;
const nothing = { data: null, error: null };

const initial: Live = {
  status: nothing, series: nothing, deployment: nothing, book: nothing, pool: nothing,
  trades: nothing, reports: nothing, epochs: nothing, court: nothing, fleet: nothing, conversion: nothing,
};

const paths = (series: string): Record<keyof Live, string> => ({
  status: '/v1/status',
  series: '/v1/series',
  deployment: '/deployment.json',
  book: `/v1/book/${series}`,
  pool: `/v1/pool/${series}`,
  trades: `/v1/trades?series=${series}&limit=8`,
  reports: '/v1/reports?limit=4',
  epochs: '/v1/epochs?limit=8',
  court: '/v1/court',
  fleet: '/v1/fleet',
  conversion: '/v1/conversion',
});

/** Everything the page shows, kept up to date while it is on screen. */
export function useLive(series: string): Live {
  const [live, setLive] = useState<Live>(initial);
  useEffect(() => {
    let stopped = false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const round = async () => {
      const asked = Object.entries(paths(series)).map(async ([name, path]) => {
        try {
          return [name, { data: await get(path), error: null }] as const;
        } catch (error) {
          return [name, { error: error as ApiError }] as const;
        }
      });
      const answers = await Promise.all(asked);
      if (stopped) return;
      setLive((before) => {
        const after: Record<string, Feed<unknown>> = { ...before };
        for (const [name, answer] of answers) after[name] = { ...nothing, ...after[name], ...answer };
        return after as unknown as Live;
      });
      timer = setTimeout(round, PERIOD_MS);
    };
    void round();
    return () => {
      stopped = true;
      clearTimeout(timer);
    };
  }, [series]);
  return live;
}
