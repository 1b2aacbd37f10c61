"""What a statement may use: PostgreSQL's own functions, operators and types that only compute, and need little memory.

What is not here is refused. Not here on purpose: whatever reads or changes the server or the session (`pg_*`, `lo_*`,
`set_config`, `current_setting`, `nextval`, `txid_*`, `query_to_xml`, `dblink`), and what makes large values of small ones
(`repeat`, `lpad`, `format` with widths, `array_fill`).
"""

from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


OPERATORS: Final = _words(
    """
    + - * / % ^ = < > <= >= <> != => || -> ->> #> #>> #- @> <@ ? ?| ?& && ~ ~* !~ !~* ~~ ~~* !~~ !~~* @@ @ & | # << >>
    """
)

AGGREGATES: Final = _words("""
    any_value array_agg avg bit_and bit_or bit_xor bool_and bool_or count every json_agg json_object_agg jsonb_agg
    jsonb_object_agg max min range_agg string_agg sum corr covar_pop covar_samp regr_avgx regr_avgy regr_count
    regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy stddev stddev_pop stddev_samp var_pop var_samp variance
    mode percentile_cont percentile_disc grouping
    cume_dist dense_rank first_value lag last_value lead nth_value ntile percent_rank rank row_number
    """)
MATHS: Final = _words("""
    abs acos acosd asin asind atan atan2 atand cbrt ceil ceiling cos cosd cosh cot degrees div erf exp floor gcd lcm ln log
    log10 min_scale mod pi power radians random round scale sign sin sind sinh sqrt tan tand tanh trim_scale trunc
    width_bucket greatest least
    """)
STRINGS: Final = _words("""
    ascii bit_length btrim char_length character_length chr concat concat_ws decode encode format initcap left length lower ltrim
    md5 normalize octet_length overlay position quote_ident quote_literal replace reverse right rtrim sha256 split_part
    starts_with strpos substr substring to_ascii to_hex translate trim unistr upper
    regexp_count regexp_instr regexp_like regexp_match regexp_matches regexp_replace regexp_split_to_array
    regexp_split_to_table regexp_substr string_to_array string_to_table to_tsvector to_tsquery plainto_tsquery
    phraseto_tsquery websearch_to_tsquery ts_rank ts_headline
    """)
DATES: Final = _words("""
    age clock_timestamp date date_add date_bin date_part date_subtract date_trunc extract isfinite justify_days
    justify_hours justify_interval make_date make_interval make_time make_timestamp make_timestamptz now overlaps
    statement_timestamp timezone to_char to_date to_number to_timestamp transaction_timestamp
    """)
VALUES: Final = _words("""
    array_append array_cat array_dims array_length array_lower array_ndims array_position array_positions array_prepend
    array_remove array_replace array_to_string array_upper cardinality trim_array
    coalesce nullif num_nonnulls num_nulls pg_typeof gen_random_uuid
    array_to_json json_array_length json_build_array json_build_object json_extract_path json_extract_path_text json_object
    json_strip_nulls json_typeof jsonb_array_length jsonb_build_array jsonb_build_object jsonb_extract_path
    jsonb_extract_path_text jsonb_object jsonb_path_exists jsonb_path_match jsonb_path_query_array jsonb_path_query_first
    jsonb_pretty jsonb_set jsonb_strip_nulls jsonb_typeof row_to_json to_json to_jsonb
    daterange int4range int8range isempty lower_inc lower_inf numrange range_merge tsrange tstzrange upper_inc upper_inf
    """)
SETS: Final = _words("""
    generate_series generate_subscripts unnest json_array_elements json_array_elements_text json_each json_each_text
    json_object_keys jsonb_array_elements jsonb_array_elements_text jsonb_each jsonb_each_text jsonb_object_keys
    jsonb_path_query regexp_matches regexp_split_to_table string_to_table
    """)
"""Functions that may stand in FROM."""
FUNCTIONS: Final = AGGREGATES | MATHS | STRINGS | DATES | VALUES | SETS

PATTERN_FUNCTIONS: Final = frozenset(name for name in STRINGS if name.startswith("regexp_"))

# Behind these a bracket may open without a call. Some are not reserved, such as `over`: a data source's own function of such
# a name is refused like any other (`Schema.functions`), and PostgreSQL has none.
KEYWORDS_BEFORE_BRACKETS: Final = _words("""
    all and any array as between by case cast cube distinct else except exists filter from group having ilike in intersect
    is join lateral like limit materialized not offset on or over rollup row select sets set some then to union using values
    when where
    """)
TYPES_WITH_SIZES: Final = _words("bit char character dec decimal float interval numeric time timestamp varchar varying")

TYPES: Final = _words("""
    bigint bit bool boolean bpchar bytea char character date daterange dec decimal double float float4 float8 int int2 int4
    int4range int8 int8range integer interval json jsonb jsonpath money numeric numrange real smallint text time timestamp
    timestamptz timetz tsquery tsrange tstzrange tsvector uuid varchar inet cidr point
    """)
"""Types that a value may be cast to, besides the data source's enum types."""

# Behind another word a string is a literal of the type of that name.
WORDS_BEFORE_STRINGS: Final = _words("""
    and any as between both case distinct else escape for from having ilike in is leading like limit not offset on or placing
    precision select symmetric then to trailing when where zone all using
    """)
TYPES_OF_LITERALS: Final = _words("date time timestamp timestamptz interval numeric jsonb json uuid")

# Operators and words that call them unseen: where the data source has its own of that name, the words are refused too.
HIDDEN_OPERATORS: Final[dict[str, frozenset[str]]] = {
    "like": frozenset({"~~", "!~~"}),
    "ilike": frozenset({"~~*", "!~~*"}),
    "similar": frozenset({"~"}),
    "between": frozenset({"<", ">", "<=", ">="}),
    "in": frozenset({"=", "<>"}),
    "using": frozenset({"="}),
    "natural": frozenset({"="}),
    "nullif": frozenset({"="}),
    "case": frozenset({"="}),
    "distinct": frozenset({"="}),
}
SYSTEM_COLUMNS: Final = frozenset({"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"})
INFORMATION_SCHEMA: Final = _words("""
    columns constraint_column_usage key_column_usage referential_constraints schemata table_constraints tables views
    """)

REFUSED_WORDS: Final[dict[str, tuple[str, str]]] = {
    "returning": ("returning", "RETURNING may not be used; the preview shows the rows"),
    "tablesample": ("syntax", "TABLESAMPLE may not be used; use ORDER BY random() LIMIT n"),
    "variadic": ("syntax", "VARIADIC may not be used"),
    "conflict": (
        "on_conflict",
        "ON CONFLICT may not be used; look first whether the row exists, then insert or update it",
    ),
    "overriding": ("syntax", "OVERRIDING may not be used; leave the identity column out"),
    "current_user": ("function", "names of roles may not be asked for"),
    "current_role": ("function", "names of roles may not be asked for"),
    "session_user": ("function", "names of roles may not be asked for"),
    "system_user": ("function", "names of roles may not be asked for"),
    "user": ("function", "names of roles may not be asked for; a column named user needs quotes"),
    "current_catalog": ("function", "the database's name may not be asked for"),
    "current_schema": ("function", "the search path may not be asked for"),
}
"""Words without quotes that may not stand in a statement, each with the reason and what to do."""
