// A titled section whose body is live: it says when there is nothing yet, and when what it shows is no longer fresh.
import { type ReactNode, useId } from 'react';

import type { Feed } from '../api/live';

interface Props<T> {
  title: string;
  feed: Feed<T>;
  children: (data: T) => ReactNode;
  wide?: boolean;
}

export function Card<T>({ title, feed, children, wide = false }: Props<T>) {
  const id = useId();
  return (
    <section className={wide ? 'card wide' : 'card'} aria-labelledby={id}>
      <h2 id={id}>{title}</h2>
      {feed.error?.code === 'unreachable' && feed.data === null && <Empty>Waiting for the indexer.</Empty>}
      {feed.error !== null && feed.error.code !== 'unreachable' && (
        <p className="notice" role="status">
          {feed.error.message} {feed.data === null ? feed.error.fix : 'Below is what was last known.'}
        </p>
      )}
      {feed.data !== null ? children(feed.data) : feed.error === null && <Loading />}
    </section>
  );
}

function Loading() {
  return <div className="loading" aria-label="Loading"><span /><span /><span /></div>;
}

export function Empty({ children }: { children: ReactNode }) {
  return <p className="empty">{children}</p>;
}
