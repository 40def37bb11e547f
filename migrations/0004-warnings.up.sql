-- Which warning was raised on which day (UTC), so that over all instances each is one incident a day.
CREATE TABLE warning (
  subject   text NOT NULL,
  code      text NOT NULL,
  raised_on date NOT NULL,
  CONSTRAINT warning_pkey PRIMARY KEY (subject, code)
);
