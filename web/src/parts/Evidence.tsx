// How the reader can know that a number is true: its source, and what it does not prove.
import type { ReactNode } from 'react';

export function Evidence({ children }: { children: ReactNode }) {
  return (
    <p className="evidence">
      <span className="how">How do you know?</span> {children}
    </p>
  );
}
