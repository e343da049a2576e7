// One banner when the indexer is gone or behind, so that sections need not repeat it.
import type { Feed } from '../api/live';
import type { Status } from '../api/types';

export function Outage({ status }: { status: Feed<Status> }) {
  const { data, error } = status;
  if (error === null) return null;
  const known = data === null ? 'Nothing is known yet.' : 'Below is what was last known.';
  return (
    <p className="notice banner" role="alert">
      <b>{error.message}</b> {known} {error.fix}
    </p>
  );
}
