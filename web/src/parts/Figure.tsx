// One number with its name, unit and source.
import type { ReactNode } from 'react';

interface Props {
  name: string;
  value: ReactNode;
  unit?: string;
  note?: ReactNode;
}

export function Figure({ name, value, unit, note }: Props) {
  return (
    <div className="figure">
      <dt>{name}</dt>
      <dd>
        <span className="value">{value}</span>
        {unit !== undefined && <span className="unit"> {unit}</span>}
        {note !== undefined && <span className="note">{note}</span>}
      </dd>
    </div>
  );
}
