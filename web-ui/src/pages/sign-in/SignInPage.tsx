import { Button, PasswordInput, TextInput } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { useEffect, useState, type FormEvent, type JSX } from "react";
import { api } from "../../api/client";
import { keys } from "../../api/queries";
import { Logo } from "../../components/Icon";
import { ErrorNotice } from "../../components/Notice";
import { safeNext } from "../../util/safeNext";
import classes from "./SignInPage.module.css";

export function SignInPage(): JSX.Element {
  const { next } = useSearch({ from: "/sign-in" });
  const navigate = useNavigate();
  const queries = useQueryClient();
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  useEffect(() => {
    document.title = "Sign in · Muster";
  }, []);

  async function submit(event: FormEvent<HTMLFormElement>): Promise<void> {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    setBusy(true);
    setError(null);
    try {
      const session = await api.sessionCreate({ username: String(form.get("username")), password: String(form.get("password")) });
      queries.clear();
      queries.setQueryData(keys.session, session);
      await navigate({ href: safeNext(next), replace: true });
    } catch (failure) {
      setError(failure);
      setBusy(false);
    }
  }

  return (
    <main className={classes.page}>
      <div className={classes.card}>
        <h1 className={classes.brand}>
          <Logo size={34} />
          Muster
        </h1>
        <form className={classes.form} onSubmit={(event) => void submit(event)}>
          <TextInput name="username" label="User name" autoComplete="username" autoCapitalize="none" spellCheck={false} required withAsterisk={false} autoFocus />
          <PasswordInput name="password" label="Password" autoComplete="current-password" required withAsterisk={false} />
          {error !== null && <ErrorNotice error={error} />}
          <Button type="submit" size="sm" loading={busy} mt={4}>
            Sign in
          </Button>
        </form>
        <p className="soft small">
          The first start of the controller made the user <span className="mono">admin</span> and printed its password once.
        </p>
      </div>
    </main>
  );
}
