import { Link, type LinkProps } from "@tanstack/react-router";
import { useEffect, type JSX, type ReactNode } from "react";
import classes from "./PageHeader.module.css";
import { Icon } from "./Icon";

interface Props {
  title: string;
  /** The list that this page belongs to. */
  parent?: { label: string; to: LinkProps["to"] };
  status?: ReactNode;
  meta?: ReactNode;
  actions?: ReactNode;
}

/** The head of a page, and the title of its tab. */
export function PageHeader({ title, parent, status, meta, actions }: Props): JSX.Element {
  useEffect(() => {
    document.title = `${title} · Muster`;
  }, [title]);
  return (
    <header className={classes.header}>
      <div style={{ minWidth: 0 }}>
        {parent !== undefined && (
          <nav className={classes.crumb} aria-label="Breadcrumb">
            <Link to={parent.to}>{parent.label}</Link>
            <Icon name="chevron" size={11} />
          </nav>
        )}
        <div className={classes.title}>
          <h1 style={{ font: "inherit" }}>{title}</h1>
          {status !== undefined && <span className={classes.status}>{status}</span>}
        </div>
        {meta !== undefined && <div className={classes.meta}>{meta}</div>}
      </div>
      {actions !== undefined && <div className={classes.actions}>{actions}</div>}
    </header>
  );
}
