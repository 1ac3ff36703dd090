-- A rule judges nobody before a named clinician has approved it, word for word. pre

-- Every version of every rule that a build of ours has brought, as it was written; what was approved stays what it was.
create table rule_version (
    rule_id       text        not null,
    version       int         not null check (version >= 1),
    content       text        not null, -- canonical JSON of what the rule file says
    sha256        text        not null,
    first_seen_at timestamptz not null default now(),
    primary key (rule_id, version)
);
create trigger rule_version_is_kept before update or delete on rule_version
    for each statement execute function refuse_change();

-- A decision about a version: it is in force from `approved_at` until `ended_at`. One that ended when it began was decided against.
create table rule_approval (
    approval_id bigint generated always as identity primary key,
    rule_id     text        not null,
    version     int         not null,
    sha256      text        not null,
    approved_by bigint      references app_user, -- null: it was in force before there were approvals
    approved_at timestamptz not null,
    note        text        not null default '',
    ended_at    timestamptz,
    ended_by    bigint      references app_user,
    foreign key (rule_id, version) references rule_version,
    check ((ended_at is null) = (ended_by is null))
);
create unique index rule_in_force on rule_approval (rule_id) where ended_at is null;
create index rule_approval_by_version on rule_approval (rule_id, version);

-- One row. `edition` rises with every change of what is in force.
create table rule_book (
    only_one boolean primary key default true check (only_one),
    edition  bigint  not null default 1
);
insert into rule_book default values;

-- Where people are judged already, what judged them until now goes on, word for word as it was: nobody's alerts stop. A new house
-- has nobody yet, and nothing in force.
insert into rule_version (rule_id, version, content, sha256)
select rule_id, version, content, encode(sha256(convert_to(content, 'UTF8')), 'hex')
from (values
    ('bp-above-140-90-3-days', 1, $rule${"id":"bp-above-140-90-3-days","patient_message":{"en":"Your blood pressure fluctuates. Please contact your doctor to adjust your medication.","zh":"您的血压有波动，建议及时联系您的主治医生调整用药。"},"priority":"low","resolve":{"below_by":5.0,"days":3},"source":"Common clinic preset; office threshold. The home equivalent is 135/85 (AHA/ACC 2025, table 7).","tell":["patient","doctor"],"title":{"en":"Blood pressure above 140/90 on 3 measured days in a row","zh":"连续 3 个测量日血压高于 140/90"},"version":1,"when":{"any_of":[{"above":140.0,"signal":"systolic","statistic":"day_mean","unit":"mmHg"},{"above":90.0,"signal":"diastolic","statistic":"day_mean","unit":"mmHg"}],"days":3,"kind":"days_in_a_row","max_span_days":5,"min_readings_per_day":1,"missing_day":"bridge"}}$rule$),
    ('bp-critical', 1, $rule${"id":"bp-critical","patient_message":{"en":"Your blood pressure reading is very high. It is not confirmed yet. Sit down and measure again after 1 to 2 minutes. If you have chest pain, shortness of breath, back pain, numbness, weakness, a change in vision, difficulty speaking, confusion, dizziness or vomiting, do not wait: call your local emergency number (120 in China) now. HomeVigil is not an emergency service.","zh":"您本次血压读数很高，尚未确认。请坐下休息，1–2 分钟后再测一次。 如有胸痛、气短、背痛、麻木、无力、视物改变、说话困难、意识模糊、头晕或呕吐，请不要等待，立即拨打 120。 本系统不是急救服务。"},"priority":"medium","resolve":{"by":"reading_below","visible_hours":24},"source":"AHA, When to call for help: 180/120 or above, repeat after 1 to 2 minutes, call with symptoms; AHA/ACC 2025, severe hypertension.","tell":["patient","doctor"],"title":{"en":"Critical blood pressure (unconfirmed)","zh":"血压危急值（未确认）"},"version":1,"when":{"any_of":[{"at_least":180.0,"signal":"systolic","unit":"mmHg"},{"at_least":120.0,"signal":"diastolic","unit":"mmHg"}],"arrived":"in_time","kind":"single_value","readings":["accepted","suspect"]}}$rule$),
    ('bp-critical-repeat', 1, $rule${"id":"bp-critical-repeat","patient_message":{"en":"The cuff was loose or you moved, and the reading was very high. Fasten the cuff, sit still and measure again after 1 to 2 minutes. If you have chest pain, shortness of breath, back pain, numbness, weakness, a change in vision, difficulty speaking, confusion, dizziness or vomiting, do not wait: call your local emergency number (120 in China) now. HomeVigil is not an emergency service.","zh":"测量时袖带过松或您有移动，且读数很高。请系好袖带，静坐 1–2 分钟后再测一次。 如有胸痛、气短、背痛、麻木、无力、视物改变、说话困难、意识模糊、头晕或呕吐，请不要等待，立即拨打 120。 本系统不是急救服务。"},"priority":"information","resolve":{"at_most_hours":24,"by":"new_reading"},"source":"Status bits of GATT 0x2A35 make the reading unreliable; AHA asks for a repeat after 1 to 2 minutes before anything else.","tell":["patient"],"title":{"en":"Very high reading with movement or a loose cuff: measure again","zh":"测量受干扰且读数很高：请重新测量"},"version":1,"when":{"any_of":[{"at_least":180.0,"signal":"systolic","unit":"mmHg"},{"at_least":120.0,"signal":"diastolic","unit":"mmHg"}],"arrived":"in_time","kind":"single_value","readings":["rejected"]}}$rule$),
    ('bp-critical-late', 1, $rule${"id":"bp-critical-late","priority":"low","resolve":{"by":"person"},"source":"Engineering choice: older than 24 hours on arrival, or older than 30 minutes with a normal reading after it, is reviewed, not alarmed.","tell":["doctor"],"title":{"en":"A critical blood pressure arrived late: review it today","zh":"迟到的血压危急值：请当日复核"},"version":1,"when":{"any_of":[{"at_least":180.0,"signal":"systolic","unit":"mmHg"},{"at_least":120.0,"signal":"diastolic","unit":"mmHg"}],"arrived":"late","kind":"single_value","readings":["accepted","suspect","rejected"]}}$rule$),
    ('check-the-meter', 1, $rule${"id":"check-the-meter","patient_message":{"en":"Several measurements failed today. Check the cuff or the strips and the batteries, then measure again. If it goes on, call your clinic.","zh":"今天有多次测量失败。请检查袖带或试纸以及电池，然后重新测量。如仍失败，请联系您的诊所。"},"priority":"information","resolve":{"at":"day_close"},"source":"Engineering choice: three failed measurements of one kind in a clinical day point to cuff, batteries or strips.","tell":["patient"],"title":{"en":"Measurements keep failing: check the meter","zh":"测量多次失败：请检查仪器"},"version":1,"when":{"count":3,"kind":"failed_measurements"}}$rule$)
) as before (rule_id, version, content)
where exists (select from patient where not is_watchdog);

insert into rule_approval (rule_id, version, sha256, approved_at, note)
select rule_id, version, sha256, now(), 'in force before there were approvals' from rule_version;
